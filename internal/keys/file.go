package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	tinkkeys "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
)

const (
	// version is the newest format of the keys file that this program knows.
	version = 3
	// maxFile is the size of the largest file that is looked at, in bytes; a ring of one key each has about 1,300.
	maxFile = 1 << 20
)

// file is the keys file:
//
//	{"version": 2, "id": "3f…", "seal": {Tink keyset, AEAD}, "hash": {Tink keyset, PRF}, "sign": {Tink keyset, Ed25519}}
//
// The keysets are in the clear: the file is the root of trust, and is kept by its mode and its place. Version 1 had no keys
// that sign; [AddSigning] makes a file of version 2 of it. Version 3 also has "prepared": {"seal": ID, "hash": ID}: keys that
// nothing is sealed or hashed with yet, and that are to become the primary ones.
type file struct {
	Version int             `json:"version"`
	ID      string          `json:"id"` // 128 random bits in hex
	Seal    json.RawMessage `json:"seal"`
	Hash    json.RawMessage `json:"hash"`
	Sign    json.RawMessage `json:"sign,omitempty"`
	// Prepared is of version 3 alone.
	Prepared *prepared `json:"prepared,omitempty"`
}

// prepared names keys of a file by their ids.
type prepared struct {
	Seal uint32 `json:"seal"`
	Hash uint32 `json:"hash"`
}

// material is the content of a keys file, decoded.
type material struct {
	id               string
	seal, hash, sign *tinkkeys.Handle // sign is nil in a file of version 1
	// preparedSeal and preparedHash are the ids of keys that are to become the primary ones; 0 for none.
	preparedSeal, preparedHash uint32
}

// Create makes a ring of new keys and writes it to a new file with mode 0600. It never overwrites: when there is
// something at path, the error wraps [io/fs.ErrExist] and nothing has changed. When Create returns a ring, the file is
// on the disk; when the process dies before, path has the whole file or nothing.
func Create(path string) (*Ring, error) {
	ring, err := create(path, func(stage) {})
	if err != nil {
		return nil, fmt.Errorf("creating keys file %q: %w", path, err)
	}
	ring.path = path
	return ring, nil
}

func create(path string, reached func(stage)) (*Ring, error) {
	// XChaCha20-Poly1305, because its nonces are long enough to be drawn at random for ever.
	sealing, err := tinkkeys.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, err
	}
	hashing, err := tinkkeys.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, err
	}
	signing, err := newSigning()
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	m := material{id: hex.EncodeToString(id), seal: sealing, hash: hashing, sign: signing}
	content, err := encode(m)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, content, reached); err != nil {
		return nil, err
	}
	return newRing(m)
}

// encode gives the content of a keys file.
func encode(m material) ([]byte, error) {
	f := file{Version: 2, ID: m.id}
	if m.preparedSeal != 0 {
		f.Version, f.Prepared = version, &prepared{m.preparedSeal, m.preparedHash}
	}
	for _, part := range []struct {
		handle *tinkkeys.Handle
		into   *json.RawMessage
	}{{m.seal, &f.Seal}, {m.hash, &f.Hash}, {m.sign, &f.Sign}} {
		if part.handle == nil {
			f.Version = 1
			continue
		}
		var content bytes.Buffer
		if err := insecurecleartextkeyset.Write(part.handle, tinkkeys.NewJSONWriter(&content)); err != nil {
			return nil, err
		}
		*part.into = content.Bytes()
	}
	content, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(content, '\n'), nil
}

// Open reads a ring from its file. A file that is not there gives an error that wraps [io/fs.ErrNotExist]. A file that
// others than its owner may read or write is refused, and so is one that this program does not understand in full.
func Open(path string) (*Ring, error) {
	ring, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("keys file %q: %w", path, err)
	}
	ring.path = path
	return ring, nil
}

// openFile reads a ring from its file.
func openFile(path string) (*Ring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // without the path, which Open gives
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return nil, fmt.Errorf("its mode is %04o, so that others than its owner can use it: chmod 600 it", mode)
	}
	m, err := read(f)
	if err != nil {
		return nil, err
	}
	ring, err := newRing(m)
	if err == nil {
		ring.seen = info
	}
	return ring, err
}

// read reads the content of a keys file.
func read(f io.Reader) (material, error) {
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return material{}, err
	}
	return decode(content)
}

// decode reads the content of a keys file. Its errors show nothing of the content, which is secret, and so leave out
// what the decoders say.
func decode(content []byte) (m material, err error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(content, &head); err != nil || head.Version < 1 {
		return m, errors.New("it is not a keys file of Postern, or it is damaged: restore it from a copy")
	}
	if head.Version > version {
		return m, fmt.Errorf("its format is version %d, and this program knows versions up to %d: use a newer Postern", head.Version, version)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || f.ID == "" || (f.Sign == nil) != (f.Version == 1) || (f.Prepared == nil) != (f.Version < 3) {
		return m, errors.New("it is damaged: restore it from a copy")
	}
	m.id = f.ID
	if f.Prepared != nil {
		m.preparedSeal, m.preparedHash = f.Prepared.Seal, f.Prepared.Hash
	}
	for _, part := range []struct {
		name string
		from json.RawMessage
		into **tinkkeys.Handle
	}{{"seal", f.Seal, &m.seal}, {"hash", f.Hash, &m.hash}, {"sign", f.Sign, &m.sign}} {
		if part.name == "sign" && f.Version == 1 {
			continue
		}
		if *part.into, err = insecurecleartextkeyset.Read(tinkkeys.NewJSONReader(bytes.NewReader(part.from))); err != nil {
			return m, fmt.Errorf("the keys that %s are damaged: restore the file from a copy", part.name)
		}
	}
	return m, nil
}
