package keys

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/signature"
)

// TestSignaturesAreEd25519: the standard library verifies what the ring has signed.
func TestSignaturesAreEd25519(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	ring, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ring.Sign([]byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if v := opened.Verifiers(); len(v) != 1 || !ed25519.Verify(v[0], []byte("head"), signed) || ed25519.Verify(v[0], []byte("hea"), signed) {
		t.Errorf("the signature does not fit the %d verifiers of the file", len(v))
	}
}

// TestRotatedSigningKeysAreStillVerified: the newest key signs, those before it verify.
func TestRotatedSigningKeysAreStillVerified(t *testing.T) {
	m := firstVersion(t)
	var err error
	if m.sign, err = newSigning(); err != nil {
		t.Fatal(err)
	}
	old, err := newRing(m)
	if err != nil {
		t.Fatal(err)
	}
	manager := keyset.NewManagerFromHandle(m.sign)
	id, err := manager.Add(signature.ED25519KeyWithoutPrefixTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	if m.sign, err = manager.Handle(); err != nil {
		t.Fatal(err)
	}
	ring, err := newRing(m)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := ring.Sign([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	v := ring.Verifiers()
	if len(v) != 2 || !bytes.Equal(v[1], old.Verifiers()[0]) || !ed25519.Verify(v[0], []byte("x"), signed) {
		t.Errorf("got %d verifiers; want the new one, which signs, and the old one", len(v))
	}
}

// firstVersion gives what a file of version 1 holds.
func firstVersion(t *testing.T) material {
	t.Helper()
	seal, hash := keysets(t)
	return material{id: "ring", seal: seal, hash: hash}
}

// TestAFileOfTheFirstVersionGetsASigningKey: once, by whichever of several processes comes first, and nothing else of it
// changes.
func TestAFileOfTheFirstVersionGetsASigningKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	content, err := encode(firstVersion(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Sign([]byte("x")); before.Signs() || err == nil {
		t.Error("a ring of the first version signs")
	}
	sealed, err := before.Seal([]byte("token"), nil)
	if err != nil {
		t.Fatal(err)
	}
	rings := make([]*Ring, 8)
	var all sync.WaitGroup
	for i := range rings {
		all.Go(func() {
			var err error
			if rings[i], err = AddSigning(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	after, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, ring := range rings {
		if ring != nil && !bytes.Equal(ring.Verifiers()[0], after.Verifiers()[0]) {
			t.Errorf("process %d has another key than the file", i)
		}
	}
	if got, err := after.Unseal(sealed, nil); err != nil || string(got) != "token" || after.ID() != "ring" {
		t.Errorf("got %q, %v of ring %s", got, err, after.ID())
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if left := entries(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("got files %q, want the keys file alone", left)
	}
}

func TestAddSigningToNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	if _, err := AddSigning(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error with the path", err)
	}
}
