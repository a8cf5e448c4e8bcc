// Package keys holds the gateway's own secret keys: a ring that seals what is stored (an AEAD), hashes app passwords
// (a keyed pseudo-random function), and signs the heads of the audit log (Ed25519). The ring lives in the keys file, apart from the database, so that neither is worth
// anything without the other.
//
// There may be several keys of each kind: the primary one is for what is new, all of them are for what is there. rotate.go
// adds and removes keys. The
// cryptography is Tink's; the package adds the file, and rules about who may read it.
package keys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	tinkkeys "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// hashSize is the length of a hash, in bytes.
const hashSize = 32

// errSealed is all that can be said when unsealing fails; the cryptography does not know more.
var errSealed = errors.New("it was changed, or sealed with other keys, or for another place")

// Ring is the gateway's set of keys, as its file has them: [Ring.Refresh] reads what another process has changed there. It
// is safe for concurrent use.
type Ring struct {
	path string
	keys atomic.Pointer[keySet]

	mu   sync.Mutex  // held by who reads or writes the file
	seen os.FileInfo // of the file that was read last; nil for none
}

// keySet is what a file holds. It does not change.
type keySet struct {
	id       string
	sealing  tink.AEAD
	sealers  []uint32 // ids, the primary key's first
	hashing  []prf.PRF
	hashers  []uint32 // ids of hashing, the primary key's first
	signing  signing
	prepared bool // there are keys that are to become the primary ones
}

// newRing makes a ring from its keysets, once it is sure that they are what it takes them for: a keySet of the wrong
// kind must be found at the start and not at the first sign-in.
func newRing(m material) (*Ring, error) {
	k, err := open(m)
	if err != nil {
		return nil, err
	}
	r := &Ring{}
	r.keys.Store(k)
	return r, nil
}

// open makes keys of what a file holds.
func open(m material) (*keySet, error) {
	seal, err := aead.New(m.seal)
	if err != nil {
		return nil, fmt.Errorf("the keys that seal: %w", err)
	}
	set, err := prf.NewPRFSet(m.hash)
	if err != nil {
		return nil, fmt.Errorf("the keys that hash: %w", err)
	}
	k := &keySet{id: m.id, sealing: seal, sealers: ids(m.seal), hashers: ids(m.hash), prepared: m.preparedSeal != 0}
	if k.signing, err = openSigning(m.sign); err != nil {
		return nil, fmt.Errorf("the keys that sign: %w", err)
	}
	for _, id := range k.hashers {
		key := set.PRFs[id]
		if _, err := key.ComputePRF(nil, hashSize); err != nil {
			return nil, fmt.Errorf("the keys that hash: key %d gives less than %d bytes", id, hashSize)
		}
		k.hashing = append(k.hashing, key)
	}
	return k, nil
}

// ids gives the ids of keys, the primary key's first, and then the newest first.
func ids(handle *tinkkeys.Handle) (all []uint32) {
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		switch {
		case err != nil:
		case entry.IsPrimary():
			defer func() { all = slices.Insert(all, 0, entry.KeyID()) }()
		default:
			all = slices.Insert(all, 0, entry.KeyID())
		}
	}
	return all
}

// ID names the ring. It is no secret, says nothing about the keys, and stays the same when keys are added or retired.
func (r *Ring) ID() string { return r.keys.Load().id }

// Path is where the ring's file is, as it was given to [Create] or [Open]; for messages.
func (r *Ring) Path() string { return r.path }

// Seal encrypts plaintext with the primary key and binds it to ad, the description of the place where it will be kept.
// ad is not part of the result. Two seals of one plaintext differ.
func (r *Ring) Seal(plaintext, ad []byte) ([]byte, error) {
	sealed, err := r.keys.Load().sealing.Encrypt(plaintext, ad)
	if err != nil {
		return nil, fmt.Errorf("sealing %d bytes: %w", len(plaintext), err)
	}
	return sealed, nil
}

// Unseal gives what was sealed by any key of the ring for the same ad. It fails when a bit of either was changed. What was
// sealed with a key that the ring does not have may be the work of another process that has added one: then the file is
// read again.
func (r *Ring) Unseal(sealed, ad []byte) ([]byte, error) {
	k := r.keys.Load()
	plaintext, err := k.sealing.Decrypt(sealed, ad)
	if id, known := sealer(sealed); err != nil && known && !slices.Contains(k.sealers, id) {
		if changed, failed := r.Refresh(); failed == nil && changed {
			plaintext, err = r.keys.Load().sealing.Decrypt(sealed, ad)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unsealing %d bytes: %w", len(sealed), errSealed)
	}
	return plaintext, nil
}

// SealerSize is how long the beginning of everything sealed is that names its key: a byte of Tink's, and the key's id
// (Tink wire format, section "Output prefix").
const SealerSize = 5

// sealer gives the id of the key that something was sealed with.
func sealer(sealed []byte) (id uint32, known bool) {
	if len(sealed) < SealerSize || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}

// Current reports whether something was sealed with the primary key.
func (r *Ring) Current(sealed []byte) bool {
	id, known := sealer(sealed)
	return known && id == r.keys.Load().sealers[0]
}

// SoleSealer gives the id of the one key that seals, where the file has no other: whatever opens is under it.
func (r *Ring) SoleSealer() (id uint32, is bool) {
	k := r.keys.Load()
	return k.sealers[0], len(k.sealers) == 1
}

// Sealer gives the id of the key that something was sealed with; 0 for what no ring has sealed.
func Sealer(sealed []byte) uint32 {
	id, _ := sealer(sealed)
	return id
}

// Hash gives the keyed hash of input under the primary key, 32 bytes that look random to those without the key, and the
// id of that key.
func (r *Ring) Hash(input []byte) (sum []byte, key uint32) {
	k := r.keys.Load()
	return hash(k.hashing[0], input), k.hashers[0]
}

// Hashes gives the hashes of input under every key, the primary key's first, and the id of
// that key: what was hashed before a rotation is found by one of the others.
func (r *Ring) Hashes(input []byte) (sums [][]byte, primary uint32) {
	k := r.keys.Load()
	hashes := make([][]byte, len(k.hashing))
	for i, key := range k.hashing {
		hashes[i] = hash(key, input)
	}
	return hashes, k.hashers[0]
}

func hash(key prf.PRF, input []byte) []byte {
	sum, err := key.ComputePRF(input, hashSize)
	if err != nil {
		panic(err) // it fails for lengths that the key cannot give alone, and newRing has tried this one
	}
	return sum
}
