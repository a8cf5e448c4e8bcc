package keys

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// uses gives the keys of a ring as use and state.
func uses(t *testing.T, ring *Ring) (all []string) {
	t.Helper()
	keys, err := ring.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		all = append(all, k.Use+" "+string(k.State))
	}
	return all
}

func steps(t *testing.T, steps ...func() error) {
	t.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestI42RotationStepByStep: after each step the file is whole, another process takes it up, what was sealed and hashed
// before is found, and nothing is under a key before all can know it.
func TestI42RotationStepByStep(t *testing.T) {
	ring := newTestRing(t)
	other, err := Open(ring.Path())
	if err != nil {
		t.Fatal(err)
	}
	token, password := []byte("token"), []byte("password")
	sealed, err := ring.Seal(token, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, oldKey := ring.Hash(password)

	steps(t, ring.Prepare, ring.Prepare) // twice is once
	if got, want := uses(t, ring), []string{"seal primary", "seal prepared", "hash primary", "hash prepared", "sign primary"}; !slices.Equal(got, want) {
		t.Errorf("prepared: %q, want %q", got, want)
	}
	if now, key := ring.Hash(password); !bytes.Equal(now, before) || key != oldKey {
		t.Error("a prepared key hashes")
	}
	if again, err := ring.Seal(token, nil); err != nil || Sealer(again) != Sealer(sealed) || !ring.Current(sealed) {
		t.Error("a prepared key seals")
	}
	if changed, err := other.Refresh(); err != nil || !changed || !other.IsPrepared() {
		t.Errorf("the other process has not taken it up: %v, %v", changed, err)
	}
	if changed, err := other.Refresh(); err != nil || changed {
		t.Errorf("it takes up the same again: %v, %v", changed, err)
	}

	steps(t, ring.Promote)
	fresh, err := ring.Seal(token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ring.Current(sealed) || !ring.Current(fresh) {
		t.Error("the new key is not the primary one")
	}
	if got, err := other.Unseal(fresh, nil); err != nil || string(got) != "token" {
		t.Errorf("who only knows that the key is prepared: got %q, %v", got, err)
	}
	after, newKey := ring.Hash(password)
	hashes, _ := other.Hashes(password)
	if newKey == oldKey || !slices.ContainsFunc(hashes, func(h []byte) bool { return bytes.Equal(h, after) }) {
		t.Error("who only knows that the key is prepared does not find what is hashed with it")
	}
	if err := ring.Promote(); err == nil {
		t.Error("keys were promoted twice")
	}

	steps(t, func() error { return ring.Retire(false) })
	if got, want := uses(t, ring), []string{"seal primary", "hash primary", "hash old", "sign primary"}; !slices.Equal(got, want) {
		t.Errorf("retired, but for hashing: %q, want %q", got, want)
	}
	if _, err := ring.Unseal(sealed, nil); err == nil {
		t.Error("the retired key opens")
	}
	steps(t, func() error { return ring.Retire(true) })
	if got, want := uses(t, ring), []string{"seal primary", "hash primary", "sign primary"}; !slices.Equal(got, want) {
		t.Errorf("retired: %q, want %q", got, want)
	}
	if got, err := ring.Unseal(fresh, nil); err != nil || string(got) != "token" {
		t.Errorf("under the new key: got %q, %v", got, err)
	}
}

// TestARecordUnderAnUnknownKeyHasTheFileReadAgain: a process that nobody has told of a rotation finds out by itself.
func TestARecordUnderAnUnknownKeyHasTheFileReadAgain(t *testing.T) {
	ring := newTestRing(t)
	other, err := Open(ring.Path())
	if err != nil {
		t.Fatal(err)
	}
	steps(t, ring.Prepare, ring.Promote)
	sealed, err := ring.Seal([]byte("token"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Unseal(sealed, nil); err != nil || string(got) != "token" {
		t.Errorf("got %q, %v", got, err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := other.Unseal(sealed, nil); err == nil {
		t.Error("a changed record opens")
	}
}

func TestRefreshKeepsTheKeysWhereTheFileIsOfNoUse(t *testing.T) {
	ring := newTestRing(t)
	foreign := newTestRing(t)
	content, err := os.ReadFile(foreign.Path())
	if err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]string{"half a file": string(content[:100]), "another ring's": string(content)} {
		if err := os.WriteFile(ring.Path(), []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		if changed, err := ring.Refresh(); err == nil || changed || !strings.Contains(err.Error(), ring.Path()) {
			t.Errorf("%s: got %v, %v; want an error with the path", name, changed, err)
		}
		if err := ring.Prepare(); err == nil {
			t.Errorf("%s: it was changed", name)
		}
	}
	if _, err := ring.Seal([]byte("x"), nil); err != nil {
		t.Errorf("the keys are gone: %v", err)
	}
}

func TestRotatedSigningKeyLeavesItsVerifier(t *testing.T) {
	ring := newTestRing(t)
	before, err := ring.Sign([]byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	steps(t, ring.RotateSigning, ring.Prepare, ring.Promote, func() error { return ring.Retire(true) })
	after, err := ring.Sign([]byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	v := ring.Verifiers()
	if len(v) != 2 || !ed25519.Verify(v[0], []byte("head"), after) || !ed25519.Verify(v[1], []byte("head"), before) {
		t.Errorf("%d verifiers do not fit what was signed before and after", len(v))
	}
}

// TestRotationLeavesOneFile: and no temporary one beside it.
func TestRotationLeavesOneFile(t *testing.T) {
	ring := newTestRing(t)
	steps(t, ring.Prepare, ring.Promote, func() error { return ring.Retire(true) })
	if left := entries(t, filepath.Dir(ring.Path())); len(left) != 1 {
		t.Errorf("got files %q, want the keys file alone", left)
	}
	if info, err := os.Stat(ring.Path()); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
}
