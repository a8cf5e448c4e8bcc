package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestReadLine(t *testing.T) {
	for _, test := range []struct {
		name  string
		input string
		want  []string // lines, or the text of an error
	}{
		{"lines", "a\r\n\r\nb c\r\n", []string{"a", "", "b c", "EOF"}},
		{"at the bound", "12345678\r\nx\r\n", []string{"12345678", "x", "EOF"}},
		{"over the bound by one", "123456789\r\nx\r\n", []string{"line too long", "x", "EOF"}},
		{"far over the bound", strings.Repeat("y", 9000) + "\r\nx\r\n", []string{"line too long", "x", "EOF"}},
		{"bare LF", "a\nb\r\n", []string{"bare CR or LF in line", "b", "EOF"}},
		{"bare CR", "a\rb\r\nc\r\n", []string{"bare CR or LF in line", "c", "EOF"}},
		{"CR CR LF", "a\r\r\nc\r\n", []string{"bare CR or LF in line", "c", "EOF"}},
		{"lone LF", "\n", []string{"bare CR or LF in line", "EOF"}},
		{"cut in a line", "a\r\nb", []string{"a", "unexpected EOF"}},
		{"cut in a long line", strings.Repeat("y", 9000), []string{"unexpected EOF"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, source := range []io.Reader{strings.NewReader(test.input), iotest.OneByteReader(strings.NewReader(test.input))} {
				r := NewReader(source, 8)
				for i, want := range test.want {
					line, err := r.ReadLine()
					got := string(line)
					if err != nil {
						got = err.Error()
					}
					if got != want {
						t.Fatalf("line %d: got %q, want %q", i, got, want)
					}
				}
			}
		})
	}
}

func TestReadLineReturnsTheSourcesError(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\r\nb"), iotest.ErrReader(broken)), 8)
	if line, err := r.ReadLine(); string(line) != "a" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := r.ReadLine(); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
}

func TestLiteralBetweenLines(t *testing.T) {
	r := NewReader(strings.NewReader("{5}\r\nab\r\ncrest\r\n"), 100)
	if line, err := r.ReadLine(); string(line) != "{5}" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if literal, err := r.ReadLiteral(5); string(literal) != "ab\r\nc" || err != nil {
		t.Fatalf("got %q, %v", literal, err)
	}
	if line, err := r.ReadLine(); string(line) != "rest" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := r.ReadLiteral(1); err != io.ErrUnexpectedEOF {
		t.Fatalf("got %v, want unexpected EOF", err)
	}
}

func TestDrainGivesWhatWasReadAhead(t *testing.T) {
	r := NewReader(strings.NewReader("a\r\nb\r\nc"), 100)
	if _, err := r.ReadLine(); err != nil {
		t.Fatal(err)
	}
	if got := r.Buffered(); got != 4 {
		t.Errorf("Buffered() = %d, want 4", got)
	}
	if got := string(r.Drain()); got != "b\r\nc" {
		t.Errorf("Drain() = %q, want %q", got, "b\r\nc")
	}
	if got := r.Drain(); got != nil {
		t.Errorf("second Drain() = %q, want nothing", got)
	}
}

func TestLongLinesLeaveNoMemoryBehind(t *testing.T) {
	const bound = 64 << 10
	input := strings.Repeat("x", bound) + "\r\n" + strings.Repeat("y", 100*bound) + "\r\na\r\n"
	r := NewReader(strings.NewReader(input), bound)
	if line, err := r.ReadLine(); len(line) != bound || err != nil {
		t.Fatalf("got %d bytes, %v", len(line), err)
	}
	if _, err := r.ReadLine(); err != ErrLineTooLong {
		t.Fatalf("got %v, want %v", err, ErrLineTooLong)
	}
	if len(r.buffer) > 4*bound {
		t.Errorf("a line too long grew the buffer to %d bytes", len(r.buffer))
	}
	if line, err := r.ReadLine(); string(line) != "a" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := r.ReadLine(); err != io.EOF {
		t.Fatal(err)
	}
	if len(r.buffer) > keptBuffer {
		t.Errorf("an idle reader holds %d bytes", len(r.buffer))
	}
}

// TestEveryByteComesOnce reads a stream by lines, literals and plain reads in a random order with random splits: what
// comes out is what went in.
func TestEveryByteComesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var input, output bytes.Buffer
		for range rapid.IntRange(1, 30).Draw(t, "lines") {
			input.WriteString(rapid.StringMatching(`[a-z ]{0,700}`).Draw(t, "line") + "\r\n")
		}
		want := input.String()
		r := NewReader(&splitReader{t: t, rest: input.Bytes()}, 1000)
		for output.Len() < len(want) {
			switch rapid.IntRange(0, 4).Draw(t, "way") {
			case 0, 1:
				line, err := r.ReadLine()
				if err == nil {
					output.Write(line)
					output.WriteString("\r\n")
				} else if errors.Is(err, ErrBareLineEnd) {
					output.WriteString("\n") // a plain read had stopped between CR and LF
				} else {
					t.Fatal(err)
				}
			case 2:
				literal, err := r.ReadLiteral(min(rapid.IntRange(0, 900).Draw(t, "n"), len(want)-output.Len()))
				if err != nil {
					t.Fatal(err)
				}
				output.Write(literal)
			case 3:
				if r.Buffered() > 0 {
					output.Write(r.Drain())
				}
			case 4:
				portion := make([]byte, rapid.IntRange(1, 900).Draw(t, "portion"))
				n, err := r.Read(portion)
				if err != nil {
					t.Fatal(err)
				}
				back := rapid.IntRange(0, n).Draw(t, "back")
				output.Write(portion[:n-back])
				r.Unread(portion[n-back : n])
			}
		}
		if got := output.String(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// splitReader gives its bytes in random portions.
type splitReader struct {
	t    *rapid.T
	rest []byte
}

func (s *splitReader) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(s.rest), rapid.IntRange(1, 600).Draw(s.t, "portion"))
	copy(p, s.rest[:n])
	s.rest = s.rest[n:]
	return n, nil
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a LOGIN x y\r\n\n\r\r\n"), 8)
	f.Add([]byte(strings.Repeat("z", 5000)+"\r\n"), 10)
	f.Fuzz(func(t *testing.T, input []byte, bound int) {
		bound = max(0, min(bound, 1<<16))
		r := NewReader(bytes.NewReader(input), bound)
		for {
			line, err := r.ReadLine()
			if err == nil && (len(line) > bound || bytes.ContainsAny(line, "\r\n")) {
				t.Fatalf("ReadLine gave %q with a bound of %d", line, bound)
			}
			if err != nil && err != ErrLineTooLong && err != ErrBareLineEnd {
				return
			}
		}
	})
}
