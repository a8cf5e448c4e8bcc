package config

import (
	"fmt"
	"time"
)

// Date is a day, as the file writes it: 2027-03-01. It begins at midnight UTC.
type Date struct{ time.Time }

// ParseDate reads a date.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is not a date; write it like 2027-03-01", s)
	}
	return Date{t}, nil
}

// String gives the date in the file's form.
func (d Date) String() string { return d.Format(time.DateOnly) }
