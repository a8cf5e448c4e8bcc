package store

import (
	"database/sql"
	"encoding/json"
	"strings"
	"time"
)

// How Go's values are kept in columns, for every engine.

// millis gives a time as a column has it: NULL for the zero time.
func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// fromMillis is the opposite of millis.
func fromMillis(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMilli(n.Int64).UTC()
}

// list gives a JSON array, never null.
func list[T any](items []T) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(items)
	return string(text), err
}

// fromList is the opposite of list; an empty list is nil.
func fromList[T any](text string) (items []T, err error) {
	if text == "[]" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(text), &items)
	return items, err
}

// printable makes a text that a stranger chose one that every engine takes: PostgreSQL refuses NUL and what is not UTF-8.
func printable(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// affected reports whether a statement changed any row.
func affected(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
