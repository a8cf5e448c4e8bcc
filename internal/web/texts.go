package web

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// languages are those that every text is in, the one for everybody else first.
var languages = []string{"en", "de"}

// text is one text in all languages, in their order.
type text [2]string

// texts maps keys to texts. A page's keys begin with the page's name and a dot. They may have verbs of fmt.
type texts map[string]text

// dictionary is every text of the portal. A page's are in a words file of its own.
var dictionary = merge(layoutWords, signInWords, homeWords, passwordWords, createWords, activityWords, factorWords, officeWords)

func merge(all ...texts) texts {
	merged := make(texts)
	for _, some := range all {
		for key, t := range some {
			if _, twice := merged[key]; twice {
				panic("a text is there twice: " + key) // found by any test
			}
			merged[key] = t
		}
	}
	return merged
}

// words gives a text in a language, with what is to be filled in.
func words(language, key string, fill ...any) (string, error) {
	t, known := dictionary[key]
	if !known {
		return "", fmt.Errorf("there is no text %q", key)
	}
	text := t[0]
	for i, l := range languages {
		if l == language {
			text = t[i]
		}
	}
	if len(fill) > 0 {
		text = fmt.Sprintf(text, fill...)
	}
	return text, nil
}

// maxLanguages bounds how many languages of a request are looked at.
const maxLanguages = 20

// languageOf chooses a language by what the browser prefers (RFC 9110 section 12.5.4).
func languageOf(r *http.Request) string {
	best, weight := languages[0], 0.0
	for i, part := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		if i == maxLanguages {
			break
		}
		tag, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if value, given := strings.CutPrefix(strings.TrimSpace(parameter), "q="); given {
			q, _ = strconv.ParseFloat(value, 64)
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, l := range languages {
			if l == primary && q > weight && q <= 1 {
				best, weight = l, q
			}
		}
	}
	return best
}

// moment writes a time for people, in UTC.
func moment(language string, at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	if language == "de" {
		return at.UTC().Format("02.01.2006, 15:04 UTC")
	}
	return at.UTC().Format("2 Jan 2006, 15:04 UTC")
}

// dayOf writes a day for people, in UTC.
func dayOf(language string, at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	if language == "de" {
		return at.UTC().Format("02.01.2006")
	}
	return at.UTC().Format("2 Jan 2006")
}

// timeElement writes a time as an element with its machine-readable form, so that a script can show it in the zone of the
// browser, which is not known here.
func timeElement(language string, at time.Time) template.HTML {
	if at.IsZero() {
		return "–"
	}
	return template.HTML(`<time datetime="` + at.UTC().Format(time.RFC3339) + `">` + moment(language, at) + `</time>`) // of digits and letters alone
}

// methodOf names a kind of evidence.
func methodOf(language, method string) (string, error) {
	if _, known := dictionary["method."+method]; known {
		return words(language, "method."+method)
	}
	return words(language, "method.other", method)
}
