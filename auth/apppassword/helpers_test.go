package apppassword

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/secret"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of every test that does not say otherwise.
var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// memory is a store in memory that counts what it is asked.
type memory struct {
	mu      sync.Mutex
	byHash  map[string]Record
	stamped []Use // in the order of their writing
	writes  int   // calls of StampUses
	lookups int
	fail    error // what every method gives, if not nil
}

func (m *memory) AddPassword(_ context.Context, record Record, hash []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.byHash == nil {
		m.byHash = make(map[string]Record)
	}
	m.byHash[string(hash)] = record
	return nil
}

func (m *memory) PasswordByHash(_ context.Context, hashes [][]byte) (Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	for _, hash := range hashes {
		if record, ok := m.byHash[string(hash)]; ok && m.fail == nil {
			return record, true, nil
		}
	}
	return Record{}, false, m.fail
}

func (m *memory) Rehash(_ context.Context, id string, hash []byte, key uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for old, record := range m.byHash {
		if record.ID == id {
			delete(m.byHash, old)
			record.HashKey = key
			m.byHash[string(hash)] = record
			return nil
		}
	}
	return errors.New("there is no such password")
}

func (m *memory) StampUses(_ context.Context, uses []Use) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.fail == nil {
		m.stamped = append(m.stamped, uses...)
	}
	return m.fail
}

// heal ends a failure.
func (m *memory) heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = nil
}

// written gives the number of writes of uses, and the uses as id:client.
func (m *memory) written() (writes int, uses string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, use := range m.stamped {
		list = append(list, use.ID+":"+use.Client)
	}
	return m.writes, strings.Join(list, " ")
}

// change edits the one record of a store with one record.
func (m *memory) change(edit func(*Record)) {
	for hash, record := range m.byHash {
		edit(&record)
		m.byHash[hash] = record
	}
}

// hasher is HMAC-SHA256 under its keys, the primary one first. It keeps the lengths of what it hashed.
type hasher struct {
	keys    []string
	lengths []int
}

func (h *hasher) Hash(input []byte) ([]byte, uint32) {
	sums, key := h.Hashes(input)
	return sums[0], key
}

func (h *hasher) Hashes(input []byte) ([][]byte, uint32) {
	h.lengths = append(h.lengths, len(input))
	var hashes [][]byte
	for _, key := range h.keys {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(input)
		hashes = append(hashes, mac.Sum(nil))
	}
	return hashes, crc32.ChecksumIEEE([]byte(h.keys[0])) // an id as good as any
}

// request is a good request.
func request() Request {
	return Request{
		Login:     "Copier-3",
		Label:     "copier on floor 3",
		Protocols: []string{"smtp"},
		Networks:  []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")},
		Expires:   now.Add(time.Hour),
		Evidence:  Evidence{Method: "command-line", By: "root", At: now},
	}
}

// unrecorded is for tests without an audit log.
func unrecorded(Record) error { return nil }

func issue(t *testing.T, store Store, hasher Hasher, request Request) (Record, secret.Text) {
	t.Helper()
	record, password, err := Issue(context.Background(), store, hasher, request, now, rand.Reader, unrecorded)
	if err != nil {
		t.Fatal(err)
	}
	return record, password
}
