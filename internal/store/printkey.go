package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"

	"postern/internal/keys"
)

// printKeyFact is the name of the fact that holds the key of [Store.Print], sealed. It also tells, before anything is
// changed, whether the keys file has the key that the database is sealed with now: of a copy from before a rotation, the
// ring's id says nothing.
const printKeyFact = "print-key"

var printKeyPlace = place("postern/print-key/1")

// Print gives the keyed hash of input, 32 bytes, under a key that stays the same for the life of the database, over all
// rotations of the keys file: for what is counted under a name and not to be read from the database.
func (s *Store) Print(input []byte) []byte {
	mac := hmac.New(sha256.New, s.printKey)
	mac.Write(input)
	return mac.Sum(nil)
}

// claimPrintKey draws the key where there is none.
func claimPrintKey(ctx context.Context, db *sql.DB, ring *keys.Ring) error {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	sealed, err := ring.Seal(key, printKeyPlace)
	if err != nil {
		return err
	}
	const insert = `INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`
	_, err = db.ExecContext(ctx, insert, printKeyFact, base64.StdEncoding.EncodeToString(sealed))
	return err
}

// openPrintKey reads the key; nil where there is none yet.
func openPrintKey(ctx context.Context, db *sql.DB, ring *keys.Ring) ([]byte, error) {
	var text string
	switch err := db.QueryRowContext(ctx, factSQL, printKeyFact).Scan(&text); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the fact %s: %w", printKeyFact, err)
	}
	key, err := ring.Unseal(sealed, printKeyPlace)
	if err != nil {
		return nil, fmt.Errorf("it is sealed with key %d, which the keys file %q does not have, or not as it was: bring back the newest copy of the keys file; nothing was changed",
			keys.Sealer(sealed), ring.Path())
	}
	return key, nil
}
