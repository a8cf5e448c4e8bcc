// Package apppassword issues and verifies app passwords: secrets that the gateway makes for one login on one device, and
// that stand behind evidence of a stronger sign-in.
//
// A password is shown once, when it is issued. What is kept is a keyed hash that binds it to its login, under a key that
// is not in the database. There is no slow hash, because a password is drawn at random from more than 2^76 and needs no
// protection from guessing that the key does not give (threat model I-30).
//
// The package says whether a password is right. Whether it may be used here and now, by this protocol and from this
// network, is package auth's to decide.
package apppassword

import (
	"context"
	"net/netip"
	"time"
)

// Record is an app password as it is kept: everything but the secret.
type Record struct {
	ID        string
	Login     string // in lower case
	Label     string // the device or program that it is for
	Protocols []string
	Networks  []netip.Prefix // from where it is accepted; none means from everywhere
	LegacyTLS bool           // accepted below TLS 1.2 too
	ReadOnly  bool
	Created   time.Time
	Expires   time.Time // the zero time means never
	Revoked   time.Time // the zero time means not revoked
	Evidence  Evidence
	LastUse   Use    // the zero Use means never used
	HashKey   uint32 // id of the key that its hash is under; 0 where that was not noted
}

// InForce reports whether the password is neither revoked nor expired. Its policy may still want newer evidence.
func (r Record) InForce(now time.Time) bool {
	return r.Revoked.IsZero() && (r.Expires.IsZero() || now.Before(r.Expires))
}

// Evidence is the recorded proof behind an app password: who vouched for its owner, when, and how.
type Evidence struct {
	// Method is how the proof was had, such as totp, passkey, acrs:c1 or command-line.
	Method string
	// By is who gave the proof: a person's user name or the administrator's account on the server.
	By string
	At time.Time
	// TenantID and ObjectID are the person at Entra, where the proof is a sign-in there; else empty.
	TenantID, ObjectID string
}

// Use is a successful sign-in with an app password.
type Use struct {
	ID       string // of the password
	At       time.Time
	From     netip.Addr
	Protocol string // imap or smtp; empty where that was not noted
	Client   string // what the client calls itself; written by a stranger
}

// Hasher is a keyed pseudo-random function with several keys.
type Hasher interface {
	// Hash hashes under the primary key, for what is new, and gives the key's id.
	Hash(input []byte) (sum []byte, key uint32)
	// Hashes hashes under every key, for finding what is there: first under the primary one, whose id it gives.
	Hashes(input []byte) (sums [][]byte, primary uint32)
}

// Store keeps the records. Its methods are safe for concurrent use.
type Store interface {
	// AddPassword keeps a new record under the hash of its password.
	AddPassword(ctx context.Context, record Record, hash []byte) error
	// PasswordByHash finds the record under one of the hashes, also of an expired or revoked password.
	PasswordByHash(ctx context.Context, hashes [][]byte) (record Record, found bool, err error)
	// Rehash puts the hash of a password under another key in the place of the one that it has.
	Rehash(ctx context.Context, id string, hash []byte, key uint32) error
	// StampUses notes last uses. Those of passwords that are not there any more are left out.
	StampUses(ctx context.Context, uses []Use) error
}
