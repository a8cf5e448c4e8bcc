package keys

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

func newTestRing(t testing.TB) *Ring {
	t.Helper()
	ring, err := Create(filepath.Join(t.TempDir(), "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// sum is the hash without its key.
func sum(ring *Ring, input []byte) []byte {
	hash, _ := ring.Hash(input)
	return hash
}

func TestSealIsBoundToItsPlace(t *testing.T) {
	ring := newTestRing(t)
	plaintext, place := []byte("a refresh token"), []byte("here")
	sealed, err := ring.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Unseal(sealed, place); err != nil || !bytes.Equal(got, plaintext) {
		t.Fatalf("got %q, %v; want %q", got, err, plaintext)
	}
	if bytes.Contains(sealed, plaintext) {
		t.Error("the plaintext is in the sealed bytes")
	}
	if again, _ := ring.Seal(plaintext, place); bytes.Equal(again, sealed) {
		t.Error("two seals of one plaintext are the same")
	}

	if _, err := ring.Unseal(sealed, []byte("there")); err == nil {
		t.Error("it opened in another place")
	}
	if _, err := newTestRing(t).Unseal(sealed, place); err == nil {
		t.Error("it opened with another ring")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := ring.Unseal(changed, place); err == nil {
			t.Errorf("it opened with a changed byte %d", i)
		}
	}
	for _, short := range [][]byte{nil, sealed[:5], sealed[:len(sealed)-1]} {
		if _, err := ring.Unseal(short, place); err == nil {
			t.Errorf("%d bytes of it opened", len(short))
		}
	}
}

func TestHashIsKeyed(t *testing.T) {
	ring := newTestRing(t)
	hash := sum(ring, []byte("password"))
	if len(hash) != 32 {
		t.Errorf("got %d bytes, want 32", len(hash))
	}
	if !bytes.Equal(hash, sum(ring, []byte("password"))) {
		t.Error("one input has two hashes")
	}
	if bytes.Equal(hash, sum(ring, []byte("Password"))) {
		t.Error("two inputs have one hash")
	}
	if bytes.Equal(hash, sum(newTestRing(t), []byte("password"))) {
		t.Error("two rings give one hash")
	}
	if got, _ := ring.Hashes([]byte("password")); len(got) != 1 || !bytes.Equal(got[0], hash) {
		t.Errorf("got hashes %x, want %x alone", got, hash)
	}
}

// rotate adds a key and makes it the primary one.
func rotate(t *testing.T, handle *keyset.Handle, template *tinkpb.KeyTemplate) *keyset.Handle {
	t.Helper()
	m := keyset.NewManagerFromHandle(handle)
	id, err := m.Add(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	rotated, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return rotated
}

func TestRotatedRingKnowsWhatWasThere(t *testing.T) {
	seal, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	hash, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	ring := func(seal, hash *keyset.Handle) *Ring {
		content, err := encode(material{id: "ring", seal: seal, hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		m, err := decode(content)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newRing(m)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	old := ring(seal, hash)
	rotated := ring(rotate(t, seal, aead.AES256GCMKeyTemplate()), rotate(t, hash, prf.HMACSHA256PRFKeyTemplate()))

	if rotated.ID() != old.ID() {
		t.Errorf("got ID %q, want %q", rotated.ID(), old.ID())
	}
	sealed, err := old.Seal([]byte("token"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotated.Unseal(sealed, nil); err != nil || string(got) != "token" {
		t.Errorf("what was sealed before: got %q, %v", got, err)
	}
	if sealed, err = rotated.Seal([]byte("token"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Unseal(sealed, nil); err == nil {
		t.Error("the new seal was made with the old key")
	}

	before := sum(old, []byte("x"))
	after, _ := rotated.Hashes([]byte("x"))
	if len(after) != 2 || !bytes.Equal(after[1], before) {
		t.Errorf("got hashes %x, want a new one and %x", after, before)
	}
	if !bytes.Equal(after[0], sum(rotated, []byte("x"))) {
		t.Error("the first hash is not the primary key's")
	}
}

func TestRingIsSafeForConcurrentUse(t *testing.T) {
	ring := newTestRing(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				sealed, err := ring.Seal([]byte("x"), []byte("ad"))
				if err != nil {
					t.Error(err)
				}
				if _, err := ring.Unseal(sealed, []byte("ad")); err != nil {
					t.Error(err)
				}
				ring.Hashes(sealed)
			}
		})
	}
	all.Wait()
}

func BenchmarkHash(b *testing.B) {
	ring := newTestRing(b)
	input := make([]byte, 64)
	for b.Loop() {
		ring.Hash(input)
	}
}
