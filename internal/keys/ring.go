// Package keys holds the gateway's own secret keys: a ring that seals what is stored (an AEAD), hashes app passwords
// (a keyed pseudo-random function), and signs the heads of the audit log (Ed25519). The ring lives in the keys file, apart from the database, so that neither is worth
// anything without the other.
//
// There may be several keys of each kind: the primary one is for what is new, all of them are for what is there. The
// cryptography is Tink's; the package adds the file, and rules about who may read it.
package keys

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// hashSize is the length of a hash, in bytes.
const hashSize = 32

// errSealed is all that can be said when unsealing fails; the cryptography does not know more.
var errSealed = errors.New("it was changed, or sealed with other keys, or for another place")

// Ring is the gateway's set of keys. It does not change and is safe for concurrent use.
type Ring struct {
	id      string
	path    string
	sealing tink.AEAD
	hashing []prf.PRF // the primary key's first
	signing signing
}

// newRing makes a ring from its keysets, once it is sure that they are what it takes them for: a keyset of the wrong
// kind must be found at the start and not at the first sign-in.
func newRing(m material) (*Ring, error) {
	seal, err := aead.New(m.seal)
	if err != nil {
		return nil, fmt.Errorf("the keys that seal: %w", err)
	}
	set, err := prf.NewPRFSet(m.hash)
	if err != nil {
		return nil, fmt.Errorf("the keys that hash: %w", err)
	}
	ring := &Ring{id: m.id, sealing: seal}
	if ring.signing, err = openSigning(m.sign); err != nil {
		return nil, fmt.Errorf("the keys that sign: %w", err)
	}
	for keyID, key := range set.PRFs {
		if _, err := key.ComputePRF(nil, hashSize); err != nil {
			return nil, fmt.Errorf("the keys that hash: key %d gives less than %d bytes", keyID, hashSize)
		}
		if keyID == set.PrimaryID {
			ring.hashing = slices.Insert(ring.hashing, 0, key)
		} else {
			ring.hashing = append(ring.hashing, key)
		}
	}
	return ring, nil
}

// ID names the ring. It is no secret, says nothing about the keys, and stays the same when keys are added or retired.
func (r *Ring) ID() string { return r.id }

// Path is where the ring's file is, as it was given to [Create] or [Open]; for messages.
func (r *Ring) Path() string { return r.path }

// Seal encrypts plaintext with the primary key and binds it to ad, the description of the place where it will be kept.
// ad is not part of the result. Two seals of one plaintext differ.
func (r *Ring) Seal(plaintext, ad []byte) ([]byte, error) {
	sealed, err := r.sealing.Encrypt(plaintext, ad)
	if err != nil {
		return nil, fmt.Errorf("sealing %d bytes: %w", len(plaintext), err)
	}
	return sealed, nil
}

// Unseal gives what was sealed by any key of the ring for the same ad. It fails when a bit of either was changed.
func (r *Ring) Unseal(sealed, ad []byte) ([]byte, error) {
	plaintext, err := r.sealing.Decrypt(sealed, ad)
	if err != nil {
		return nil, fmt.Errorf("unsealing %d bytes: %w", len(sealed), errSealed)
	}
	return plaintext, nil
}

// Hash gives the keyed hash of input under the primary key: 32 bytes that look random to those without the key.
func (r *Ring) Hash(input []byte) []byte { return hash(r.hashing[0], input) }

// Hashes gives the hashes of input under every key, the primary key's first: what was hashed before a rotation is found
// by one of the others.
func (r *Ring) Hashes(input []byte) [][]byte {
	hashes := make([][]byte, len(r.hashing))
	for i, key := range r.hashing {
		hashes[i] = hash(key, input)
	}
	return hashes
}

func hash(key prf.PRF, input []byte) []byte {
	sum, err := key.ComputePRF(input, hashSize)
	if err != nil {
		panic(err) // it fails for lengths that the key cannot give alone, and newRing has tried this one
	}
	return sum
}
