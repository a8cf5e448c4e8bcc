package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 when the problem is with the file as a whole
	Path         string // the setting, such as listeners[0].tls; may be empty
	Message      string // what is wrong and what to do
}

// String gives the problem in one line, in the form that editors and compilers know.
func (p Problem) String() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		return at + ": " + p.Path + ": " + p.Message
	}
	return at + ": " + p.Message
}

// Problems are all that is wrong with a file. It is the error of [Load].
type Problems []Problem

// Error gives the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}
