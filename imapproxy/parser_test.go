package imapproxy

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// feed answers a parser's literals from what a client has sent.
func feed(sent []byte) func(int, bool) ([]byte, []byte, error) {
	return func(size int, _ bool) (literal, rest []byte, err error) {
		if size > len(sent) {
			return nil, nil, io.ErrUnexpectedEOF
		}
		literal, sent = sent[:size], sent[size:]
		rest, sent, _ = bytes.Cut(sent, []byte("\r\n"))
		return literal, rest, nil
	}
}

// checkError demands that a parser's error is one of its three kinds.
func checkError(t *testing.T, err error) {
	t.Helper()
	if syntax := syntaxError(""); err != nil && !errors.As(err, &syntax) && !errors.Is(err, errLiteralTooBig) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got the error %v, want a syntax error, one of a literal's size, or the source's", err)
	}
}

// FuzzParser reads a whole command of any bytes. What it takes for an argument, written as a quoted string or as a
// literal, is read as the same again.
func FuzzParser(f *testing.F) {
	for _, seed := range [][2]string{
		{"A1 LOGIN alice pw", ""}, {`A1 LOGIN "al\"ice" "p\\w"`, ""}, {"A1 LOGIN {5}", "alice {2+}\r\npw\r\n"},
		{"A1 LOGIN alice {2+}", "pw\r\n"}, {"A1 LOGIN {1025}", ""}, {"A1 LOGIN {99999999999999999999}", ""}, {"+ x", ""}, {"A1  ", ""}, {`A1 X "\`, ""},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, line, sent []byte) {
		p := &parser{rest: slices.Clone(line), literal: feed(slices.Clone(sent))}
		tag, err := p.tag()
		checkError(t, err)
		if err == nil && (len(tag) > maxTag || strings.ContainsAny(tag, "\r\n +*\"{\x00")) {
			t.Fatalf("took the tag %q", tag)
		}
		_, err = p.command()
		checkError(t, err)
		for err == nil && len(p.rest) > 0 {
			var argument string
			if err = p.space(); err == nil {
				argument, err = p.astring()
			}
			checkError(t, err)
			if err == nil {
				checkArgument(t, argument)
			}
		}
		if err != nil {
			checkError(t, p.skipLiterals())
		}
		if p.literals > maxLiterals+1 {
			t.Fatalf("%d literals", p.literals)
		}
	})
}

// checkArgument writes an argument in the two ways that can hold it, and reads it again.
func checkArgument(t *testing.T, argument string) {
	t.Helper()
	if strings.ContainsRune(argument, 0) {
		t.Fatalf("took an argument with NUL: %q", argument)
	}
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(argument) + `"`
	p := &parser{rest: []byte(quoted)}
	if got, err := p.astring(); err != nil || got != argument || len(p.rest) > 0 {
		t.Fatalf("%s was read as %q, %v", quoted, got, err)
	}
	if len(argument) > maxLiteral {
		return
	}
	p = &parser{rest: []byte("{" + strconv.Itoa(len(argument)) + "+}"), literal: feed([]byte(argument + " x\r\n"))}
	if got, err := p.astring(); err != nil || got != argument || string(p.rest) != " x" {
		t.Fatalf("the literal %q was read as %q with %q behind it, %v", argument, got, p.rest, err)
	}
}

// FuzzIDFields: whatever a client says of itself, little of it is kept.
func FuzzIDFields(f *testing.F) {
	for _, seed := range [][2]string{
		{` NIL`, ""}, {` ()`, ""}, {` ("name" "x" "version" NIL)`, ""}, {` ("a" "b""c" "d")`, ""}, {` ("name" {3}`, "abc)\r\n"},
		{` ({4+}`, "name {2000+}\r\n"}, {` ("a" "` + strings.Repeat("x", 300) + `")`, ""}, {" (" + strings.Repeat(`"a" "b" `, 40) + ")", ""},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, line, sent []byte) {
		p := &parser{rest: slices.Clone(line), literal: feed(slices.Clone(sent))}
		fields, err := p.idFields()
		checkError(t, err)
		if err == nil && len(p.rest) > 0 {
			t.Fatalf("%q was left", p.rest)
		}
		if len(fields) > maxIDFields {
			t.Fatalf("%d fields", len(fields))
		}
		for name, value := range fields {
			if name != strings.ToLower(name) || len(value) > maxIDField {
				t.Fatalf("kept the field %q with %d bytes", name, len(value))
			}
		}
	})
}
