package apppassword

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"postern/internal/secret"
)

// alphabet has 28 characters: the letters and digits that nobody mistakes for another when they are printed, written
// down and typed on a panel. Of each set of look-alikes one is left at most: none of 0 o, none of 1 i l, and of 2 z, 5 s
// and 8 b the letter.
const alphabet = "abcdefghjkmnpqrstuvwxyz34679"

const (
	// fullLength characters carry 24 · log2(28) = 115.4 bits.
	fullLength = 24
	// shortLength characters carry 16 · log2(28) = 76.9 bits: too many to guess by signing in, however long it takes,
	// and of no use to who has the database without the keys.
	shortLength = 16
	// groupLength is how many characters stand between two separators where a password is shown.
	groupLength = 4
	// maxTyped is how long a typed password may be with all its separators, in bytes.
	maxTyped = 64
	// idLength characters make an id of a password; it is no secret and has to be unique in one database only.
	idLength = 10
)

// malformed stands for every text that cannot be a password. It has the length of one, so that it costs as much to
// hash, and a character that no password has.
var malformed = secret.New(strings.Repeat("0", fullLength))

// draw gives n characters of the alphabet, each with the same probability.
func draw(random io.Reader, n int) (string, error) {
	// Bytes from here on are thrown away: they would make the first characters of the alphabet more frequent.
	const limit = 256 - 256%len(alphabet)
	drawn := make([]byte, 0, n)
	var buffer [64]byte
	for {
		if _, err := io.ReadFull(random, buffer[:]); err != nil {
			return "", fmt.Errorf("drawing random characters: %w", err)
		}
		for _, b := range buffer {
			if int(b) >= limit {
				continue
			}
			if drawn = append(drawn, alphabet[int(b)%len(alphabet)]); len(drawn) == n {
				return string(drawn), nil
			}
		}
	}
}

// show gives a password in groups, as people read and type it.
func show(password string) secret.Text {
	var b strings.Builder
	for i := range len(password) {
		if i > 0 && i%groupLength == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(password[i])
	}
	return secret.New(b.String())
}

// normalize gives a typed password in the form that is hashed: in lower case, without separators. Separators are spaces
// and hyphens, wherever they stand. A text that cannot be a password gives malformed.
func normalize(typed secret.Text) secret.Text {
	text := typed.Reveal()
	if len(text) > maxTyped {
		return malformed
	}
	plain := make([]byte, 0, maxTyped)
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch {
		case c == ' ' || c == '-':
		case strings.IndexByte(alphabet, c) >= 0:
			plain = append(plain, c)
		default:
			return malformed
		}
	}
	if len(plain) != fullLength && len(plain) != shortLength {
		return malformed
	}
	return secret.New(string(plain))
}

// domain keeps these hashes apart from all others that the same key may ever make.
const domain = "postern/app-password/1"

// hashInput gives what is hashed for a login and a normalized password. The login's length goes before it, so that no
// two pairs give the same input.
func hashInput(login string, password secret.Text) []byte {
	login = canonical(login)
	input := make([]byte, 0, len(domain)+binary.MaxVarintLen64+len(login)+fullLength)
	input = append(input, domain...)
	input = binary.AppendUvarint(input, uint64(len(login)))
	input = append(input, login...)
	return append(input, password.Reveal()...)
}

// canonical gives the form of a login in which it is kept and hashed.
func canonical(login string) string { return strings.ToLower(login) }
