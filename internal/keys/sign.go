package keys

import (
	stdlib "crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	tinkkeys "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/signature/ed25519"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// errNoSigning is a ring whose file is of the time before there were keys that sign.
var errNoSigning = errors.New("the keys file has no key that signs; the next start of the gateway adds one")

// signing signs, and knows with what.
type signing struct {
	signer    tink.Signer // of the primary key; nil in a ring without
	verifiers []stdlib.PublicKey
}

// newSigning makes the keys that sign. What they sign is a plain Ed25519 signature (RFC 8032), without Tink's prefix, so
// that others can verify it.
func newSigning() (*tinkkeys.Handle, error) {
	return tinkkeys.NewHandle(signature.ED25519KeyWithoutPrefixTemplate())
}

func openSigning(handle *tinkkeys.Handle) (signing, error) {
	if handle == nil {
		return signing{}, nil
	}
	signer, err := signature.NewSigner(handle)
	if err != nil {
		return signing{}, err
	}
	s := signing{signer: signer}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return signing{}, err
		}
		private, ok := entry.Key().(*ed25519.PrivateKey)
		if !ok || len(private.OutputPrefix()) > 0 {
			return signing{}, errors.New("one of them is not a plain Ed25519 key")
		}
		public, err := private.PublicKey()
		if err != nil {
			return signing{}, err
		}
		verifier := stdlib.PublicKey(public.(*ed25519.PublicKey).KeyBytes())
		if entry.IsPrimary() {
			s.verifiers = slices.Insert(s.verifiers, 0, verifier)
		} else {
			s.verifiers = append(s.verifiers, verifier)
		}
	}
	return s, nil
}

// Sign gives the Ed25519 signature of message by the primary signing key. A ring that [Ring.Signs] denies gives an error.
func (r *Ring) Sign(message []byte) ([]byte, error) {
	signer := r.keys.Load().signing.signer
	if signer == nil {
		return nil, errNoSigning
	}
	return signer.Sign(message)
}

// Signs reports whether the ring has keys that sign: one that was made by an early version has none.
func (r *Ring) Signs() bool { return r.keys.Load().signing.signer != nil }

// Verifiers gives the public halves of the keys that sign, the primary one first. Those of earlier primaries stay for what
// they have signed.
func (r *Ring) Verifiers() []stdlib.PublicKey { return slices.Clone(r.keys.Load().signing.verifiers) }

// AddSigning gives the ring of the file at path with keys that sign, and adds them to the file where it has none. Of
// several processes that do so at once, one does. The process may die anywhere: the file is what it was, or has the keys.
func AddSigning(path string) (*Ring, error) {
	err := change(path, func(m *material) (changed bool, err error) {
		if m.sign == nil {
			m.sign, err = newSigning()
			changed = true
		}
		return changed, err
	})
	if err != nil {
		return nil, fmt.Errorf("adding a key that signs to keys file %q: %w", path, err)
	}
	return Open(path)
}

// change changes the file at path, as the only process that does. A change that changes nothing leaves the file alone.
func change(path string, do func(*material) (changed bool, err error)) error {
	f, err := lockCurrent(path)
	if err != nil {
		return err
	}
	defer f.Close() // and with it the lock
	m, err := read(f)
	if err != nil {
		return err
	}
	changed, err := do(&m)
	if err != nil || !changed {
		return err
	}
	content, err := encode(m)
	if err != nil {
		return err
	}
	return replace(path, content)
}

// lockCurrent opens the file at path and locks it (flock(2)). The file that it locks is the one at path at that moment, also
// when another process has just replaced it.
func lockCurrent(path string) (*os.File, error) {
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, errors.Unwrap(err)
		}
		for err = syscall.EINTR; err == syscall.EINTR; {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		ours, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(ours, now) {
			return f, nil
		}
		_ = f.Close()
	}
}
