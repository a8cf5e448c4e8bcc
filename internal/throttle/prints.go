package throttle

import (
	"encoding/binary"
	"slices"

	"postern/internal/secret"
)

// loginID names a login in the counts: a keyed hash, since strangers type passwords into the field for the name.
type loginID [16]byte

// Domains of the hashes, apart from all others that the same key may ever make.
const (
	loginDomain   = "postern/throttle/login/1"
	attemptDomain = "postern/throttle/attempt/1"
)

func (g *Guesses) loginID(login string) loginID {
	return loginID(g.hash(append([]byte(loginDomain), login...))[:16])
}

// fingerprint tells the secrets that were tried for a login apart. The login's length goes before it, so that no two
// pairs give the same input.
func (g *Guesses) fingerprint(login string, attempt secret.Text) uint64 {
	input := append([]byte(nil), attemptDomain...)
	input = binary.AppendUvarint(input, uint64(len(login)))
	input = append(input, login...)
	input = append(input, attempt.Reveal()...)
	return binary.BigEndian.Uint64(g.hash(input))
}

// prints are the last fingerprints of a login or a source, as many as its owner lets it have. It grows as it is filled:
// most have one.
type prints struct {
	list []uint64
	next int // where the next one goes once the list is full
}

func (p *prints) has(print uint64) bool { return slices.Contains(p.list, print) }

// add adds a fingerprint in the stead of the oldest one of size.
func (p *prints) add(print uint64, size int) {
	if len(p.list) < size {
		p.list = append(p.list, print)
		return
	}
	p.list[p.next] = print
	p.next = (p.next + 1) % size
}

// remove removes a fingerprint. Its place stays empty until its turn comes.
func (p *prints) remove(print uint64) {
	if i := slices.Index(p.list, print); i >= 0 {
		p.list[i] = 0
	}
}
