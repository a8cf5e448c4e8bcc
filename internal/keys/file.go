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
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
)

const (
	// version is the newest format of the keys file that this program knows.
	version = 1
	// maxFile is the size of the largest file that is looked at, in bytes; a ring of one key each has about 900.
	maxFile = 1 << 20
)

// file is the keys file:
//
//	{"version": 1, "id": "3f…", "seal": {Tink keyset, AEAD}, "hash": {Tink keyset, PRF}}
//
// The keysets are in the clear: the file is the root of trust, and is kept by its mode and its place.
type file struct {
	Version int             `json:"version"`
	ID      string          `json:"id"` // 128 random bits in hex
	Seal    json.RawMessage `json:"seal"`
	Hash    json.RawMessage `json:"hash"`
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
	sealing, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, err
	}
	hashing, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	content, err := encode(hex.EncodeToString(id), sealing, hashing)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, content, reached); err != nil {
		return nil, err
	}
	return newRing(hex.EncodeToString(id), sealing, hashing)
}

// encode gives the content of a keys file.
func encode(id string, sealing, hashing *keyset.Handle) ([]byte, error) {
	var seal, hash bytes.Buffer
	if err := insecurecleartextkeyset.Write(sealing, keyset.NewJSONWriter(&seal)); err != nil {
		return nil, err
	}
	if err := insecurecleartextkeyset.Write(hashing, keyset.NewJSONWriter(&hash)); err != nil {
		return nil, err
	}
	content, err := json.MarshalIndent(file{version, id, seal.Bytes(), hash.Bytes()}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(content, '\n'), nil
}

// Open reads a ring from its file. A file that is not there gives an error that wraps [io/fs.ErrNotExist]. A file that
// others than its owner may read or write is refused, and so is one that this program does not understand in full.
func Open(path string) (*Ring, error) {
	ring, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("keys file %q: %w", path, err)
	}
	ring.path = path
	return ring, nil
}

func open(path string) (*Ring, error) {
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
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return decode(content)
}

// decode reads the content of a keys file. Its errors show nothing of the content, which is secret, and so leave out
// what the decoders say.
func decode(content []byte) (*Ring, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(content, &head); err != nil || head.Version < 1 {
		return nil, errors.New("it is not a keys file of Postern, or it is damaged: restore it from a copy")
	}
	if head.Version > version {
		return nil, fmt.Errorf("its format is version %d, and this program knows versions up to %d: use a newer Postern", head.Version, version)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || f.ID == "" {
		return nil, errors.New("it is damaged: restore it from a copy")
	}
	sealing, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Seal)))
	if err != nil {
		return nil, errors.New("the keys that seal are damaged: restore the file from a copy")
	}
	hashing, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Hash)))
	if err != nil {
		return nil, errors.New("the keys that hash are damaged: restore the file from a copy")
	}
	return newRing(f.ID, sealing, hashing)
}
