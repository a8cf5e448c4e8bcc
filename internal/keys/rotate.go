package keys

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	tinkkeys "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
)

// A rotation goes through three states of the file, each written whole or not at all:
//
//  1. Prepare: there is a new key of each kind, which nothing uses. Every process, on every node, can learn it in peace.
//  2. Promote: the new keys are the primary ones. What is sealed and hashed from now on is under them.
//  3. Retire: once nothing is under the old keys any more, they go.

// Key is a key of a ring, without the key.
type Key struct {
	Use   string `json:"use"` // seal, hash or sign
	ID    uint32 `json:"id"`
	State State  `json:"state"`
}

// State is what a key is used for.
type State string

const (
	// Primary is the key for what is new.
	Primary State = "primary"
	// Old is a key for what is there.
	Old State = "old"
	// Prepared is a key that is to become the primary one.
	Prepared State = "prepared"
)

// Keys gives the keys that the file has now, by use, the primary one first.
func (r *Ring) Keys() ([]Key, error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("keys file %q: %w", r.path, err)
	}
	var all []Key
	for _, part := range []struct {
		use      string
		handle   *tinkkeys.Handle
		prepared uint32
	}{{"seal", m.seal, m.preparedSeal}, {"hash", m.hash, m.preparedHash}, {"sign", m.sign, 0}} {
		if part.handle == nil {
			continue
		}
		for i, id := range ids(part.handle) {
			state := Old
			switch {
			case i == 0:
				state = Primary
			case id == part.prepared:
				state = Prepared
			}
			all = append(all, Key{part.use, id, state})
		}
	}
	return all, nil
}

// Prepare adds a key that seals and one that hashes to the file, which nothing uses yet. It does nothing where a rotation
// is prepared already.
func (r *Ring) Prepare() error {
	return r.change("adding keys", func(m *material) (changed bool, err error) {
		if m.preparedSeal != 0 {
			return false, nil
		}
		if m.seal, m.preparedSeal, err = withNew(m.seal, func(k *tinkkeys.Manager) (uint32, error) {
			return k.Add(aead.XChaCha20Poly1305KeyTemplate())
		}); err != nil {
			return false, err
		}
		m.hash, m.preparedHash, err = withNew(m.hash, func(k *tinkkeys.Manager) (uint32, error) {
			return k.Add(prf.HMACSHA256PRFKeyTemplate())
		})
		return true, err
	})
}

func withNew(handle *tinkkeys.Handle, add func(*tinkkeys.Manager) (uint32, error)) (*tinkkeys.Handle, uint32, error) {
	manager := tinkkeys.NewManagerFromHandle(handle)
	id, err := add(manager)
	if err != nil {
		return nil, 0, err
	}
	handle, err = manager.Handle()
	return handle, id, err
}

// Promote makes the prepared keys the primary ones.
func (r *Ring) Promote() error {
	return r.change("making keys the primary ones", func(m *material) (changed bool, err error) {
		if m.preparedSeal == 0 {
			return false, errors.New("no keys are prepared")
		}
		if m.seal, err = withPrimary(m.seal, m.preparedSeal); err != nil {
			return false, err
		}
		if m.hash, err = withPrimary(m.hash, m.preparedHash); err != nil {
			return false, err
		}
		m.preparedSeal, m.preparedHash = 0, 0
		return true, nil
	})
}

func withPrimary(handle *tinkkeys.Handle, id uint32) (*tinkkeys.Handle, error) {
	manager := tinkkeys.NewManagerFromHandle(handle)
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	return manager.Handle()
}

// RotateSigning adds a key that signs and makes it the primary one. The old ones stay: what they have signed is verified by
// them for as long as it is kept.
func (r *Ring) RotateSigning() error {
	return r.change("adding a key that signs", func(m *material) (changed bool, err error) {
		if m.sign == nil {
			m.sign, err = newSigning()
			return true, err
		}
		fresh, err := newSigning()
		if err != nil {
			return false, err
		}
		entry, err := fresh.Primary()
		if err != nil {
			return false, err
		}
		var id uint32
		if m.sign, id, err = withNew(m.sign, func(k *tinkkeys.Manager) (uint32, error) { return k.AddKey(entry.Key()) }); err != nil {
			return false, err
		}
		m.sign, err = withPrimary(m.sign, id)
		return true, err
	})
}

// Retire removes the old keys that seal and, if hashing says so, those that hash. What is still under them cannot be opened
// or found any more, ever: it is for the caller to know that there is nothing.
func (r *Ring) Retire(hashing bool) error {
	return r.change("removing old keys", func(m *material) (changed bool, err error) {
		if m.preparedSeal != 0 {
			return false, errors.New("keys are prepared: end that rotation first")
		}
		var sealers, hashers int
		if m.seal, sealers, err = withPrimaryAlone(m.seal); err != nil {
			return false, err
		}
		if hashing {
			m.hash, hashers, err = withPrimaryAlone(m.hash)
		}
		return sealers+hashers > 0, err
	})
}

// withPrimaryAlone removes all keys but the primary one, and gives the number of those removed.
func withPrimaryAlone(handle *tinkkeys.Handle) (*tinkkeys.Handle, int, error) {
	manager := tinkkeys.NewManagerFromHandle(handle)
	old := ids(handle)[1:]
	for _, id := range old {
		if err := manager.Delete(id); err != nil {
			return nil, 0, err
		}
	}
	handle, err := manager.Handle()
	return handle, len(old), err
}

// change changes the file, as the only process that does, and has the ring take it up.
func (r *Ring) change(what string, do func(*material) (changed bool, err error)) error {
	err := change(r.path, func(m *material) (bool, error) {
		if id := r.ID(); m.id != id {
			return false, fmt.Errorf("it has become the file of another ring, %s instead of %s", m.id, id)
		}
		return do(m)
	})
	if err == nil {
		_, err = r.Refresh()
	}
	if err != nil {
		return fmt.Errorf("%s in keys file %q: %w", what, r.path, err)
	}
	return nil
}

// Refresh takes up what has become of the file since it was read, and reports whether that is something. A file that cannot
// be read, or is another ring's, changes nothing.
func (r *Ring) Refresh() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return false, err
	}
	if r.seen != nil && os.SameFile(info, r.seen) && info.ModTime().Equal(r.seen.ModTime()) && info.Size() == r.seen.Size() {
		return false, nil
	}
	fresh, err := openFile(r.path)
	if err != nil {
		return false, fmt.Errorf("keys file %q: %w", r.path, err)
	}
	if fresh.ID() != r.ID() {
		return false, fmt.Errorf("keys file %q: it has become the file of another ring, %s instead of %s", r.path, fresh.ID(), r.ID())
	}
	r.seen = fresh.seen
	r.keys.Store(fresh.keys.Load())
	return true, nil
}

// Primaries gives the ids of the keys for what is new.
func (r *Ring) Primaries() (seal, hash uint32) {
	k := r.keys.Load()
	return k.sealers[0], k.hashers[0]
}

// HasOld reports whether the file has old keys that seal; prepared ones do not count.
func (r *Ring) HasOld() (bool, error) {
	all, err := r.Keys()
	return slices.ContainsFunc(all, func(k Key) bool { return k.Use == "seal" && k.State == Old }), err
}

// IsPrepared reports whether the file has keys that are to become the primary ones.
func (r *Ring) IsPrepared() bool { return r.keys.Load().prepared }
