package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// advice answers for keys that are not settings and that people write all the same.
var advice = map[string]string{
	"client_secret":      "secrets are never in the file; put it into a file of mode 0600 and name that with client_secret_file, or use client_secret_env or client_secret_credential",
	"client_certificate": "name the PEM file with client_certificate_file",
	"password":           "passwords are never in the file; run postern password issue LOGIN",
}

// unknownKey says what to do about a key that is not a setting.
func unknownKey(key string, fields map[string]int) string {
	if text, ok := advice[key]; ok {
		return text
	}
	known := slices.Sorted(maps.Keys(fields))
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown setting; did you mean %s?", near)
	}
	return "unknown setting; known here are " + strings.Join(known, ", ")
}

// unknownValue says what to do about a value that is not one of the known ones.
func unknownValue(value string, known []string) string {
	if near := nearest(value, known); near != "" {
		return fmt.Sprintf("%q is not known; did you mean %s?", value, near)
	}
	return fmt.Sprintf("%q is not known; want %s", value, strings.Join(known, ", "))
}

// nearest gives the known word that a misspelt one is for; empty when none is near.
func nearest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or change to make b of a (Levenshtein). Long words are not
// compared: nobody misspells a name of hundreds of letters.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
