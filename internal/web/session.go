package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// sessionCookie holds a session's key. With __Host- a browser takes it from this host alone, over TLS (RFC 6265bis
	// section 4.1.3.2).
	sessionCookie = "__Host-postern"
	// idleLife is how long a session lasts without a request, and absoluteLife with them (ASVS 7.3).
	idleLife     = 30 * time.Minute
	absoluteLife = 10 * time.Hour
	// seenStep is how old the note of the last request may get before it is written again.
	seenStep = time.Minute
	// noteLife is how long a note of a session is kept, unless it is taken before.
	noteLife = 10 * time.Minute
)

// SessionRecord is a session as it is stored. The key that the browser has is not in it, only its hash.
type SessionRecord struct {
	Hash               []byte // SHA-256 of the key
	Provider           string // whose session it is
	TenantID, ObjectID string
	Started            time.Time
	Expires            time.Time // unless somebody comes
	Version            int64     // counts the changes
	Sealed             []byte    // the content
}

// SessionStore keeps the sessions of the portal.
type SessionStore interface {
	// PortalSession finds a session that has not expired.
	PortalSession(ctx context.Context, hash []byte, now time.Time) (SessionRecord, bool, error)
	// AddPortalSession keeps a new session, in the stead of the one with the hash replaced, unless that is nil. It forgets
	// those that have expired.
	AddPortalSession(ctx context.Context, s SessionRecord, replaced []byte, now time.Time) error
	// ChangePortalSession sets Expires, Version and Sealed of a session, and reports false if its version is no longer the
	// one before s.Version, or it is gone.
	ChangePortalSession(ctx context.Context, s SessionRecord) (bool, error)
	// UsePortalState notes that the state of a sign-in has come back, until it would have expired, and reports false if it
	// had come back before.
	UsePortalState(ctx context.Context, hash []byte, expires, now time.Time) (bool, error)
	// EndPortalSession forgets a session.
	EndPortalSession(ctx context.Context, hash []byte) error
	// EndPortalSessions forgets all sessions of a person, and gives their number.
	EndPortalSessions(ctx context.Context, provider, tenantID, objectID string) (int, error)
}

// Sealer encrypts what is kept, bound to a description of its place; see [keys.Ring].
type Sealer interface {
	Seal(plaintext, ad []byte) ([]byte, error)
	Unseal(sealed, ad []byte) ([]byte, error)
}

// content is what a session holds: who it is, and notes from one request to the next.
type content struct {
	Person Person
	Notes  map[string]note `json:",omitempty"`
}

// note is something that a page wants to find again in the same session.
type note struct {
	Until time.Time
	Value json.RawMessage
}

// sessions keeps sessions sealed in the store.
type sessions struct {
	store SessionStore
	keys  Sealer
	now   func() time.Time
}

// hashOf is what stands for a session's key in the store. The key has 256 random bits, so that a fast hash does.
func hashOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// SessionPlace describes the place of a session's content to the sealing, by the hash in its row: it opens in no other.
func SessionPlace(hash []byte) []byte {
	return append([]byte("postern/portal-session/1\x00"), hash...)
}

// begin starts a session and gives its key. replaced is the key of the session that it takes the place of, or empty.
func (s sessions) begin(ctx context.Context, who content, replaced string, started time.Time) (key string, err error) {
	key = randomText()
	now := s.now()
	record := SessionRecord{
		Hash: hashOf(key), Provider: who.Person.Provider, TenantID: who.Person.TenantID, ObjectID: who.Person.ObjectID,
		Started: started, Expires: expiry(started, now),
	}
	if record.Sealed, err = s.seal(record.Hash, who); err != nil {
		return "", err
	}
	var old []byte
	if replaced != "" {
		old = hashOf(replaced)
	}
	return key, s.store.AddPortalSession(ctx, record, old, now)
}

// expiry is when a session ends that was started then and used now.
func expiry(started, now time.Time) time.Time {
	if end := started.Add(absoluteLife); end.Before(now.Add(idleLife)) {
		return end
	}
	return now.Add(idleLife)
}

// find gives the session of a key. The note of its last request is brought up to date.
func (s sessions) find(ctx context.Context, key string) (content, bool, error) {
	now := s.now()
	record, found, err := s.store.PortalSession(ctx, hashOf(key), now)
	if !found || err != nil {
		return content{}, false, err
	}
	c, err := s.unseal(record)
	if err != nil { // sealed with keys that are no more, or moved: to the browser it has ended
		return content{}, false, nil
	}
	if end := expiry(record.Started, now); end.Sub(record.Expires) >= seenStep {
		record.Expires, record.Version = end, record.Version+1
		// Where another request was quicker, it has said the same.
		_, err = s.store.ChangePortalSession(ctx, record)
	}
	return c, err == nil, err
}

// errGone is a session that has ended since the request began.
var errGone = errors.New("the session has ended")

// change changes the content of a session: all of it or nothing, whatever other requests do at the same time.
func (s sessions) change(ctx context.Context, key string, do func(*content)) error {
	for range 100 {
		record, found, err := s.store.PortalSession(ctx, hashOf(key), s.now())
		if err != nil {
			return err
		}
		if !found {
			return errGone
		}
		c, err := s.unseal(record)
		if err != nil {
			return err
		}
		do(&c)
		if record.Sealed, err = s.seal(record.Hash, c); err != nil {
			return err
		}
		record.Version++
		if changed, err := s.store.ChangePortalSession(ctx, record); changed || err != nil {
			return err
		}
	}
	return errors.New("a session is changed by too many requests at once")
}

// renew gives a session a new key, so that one from before is worth nothing (ASVS 7.2.4), and changes its content.
func (s sessions) renew(ctx context.Context, key string, do func(*content)) (newKey string, err error) {
	record, found, err := s.store.PortalSession(ctx, hashOf(key), s.now())
	if err != nil {
		return "", err
	}
	if !found {
		return "", errGone
	}
	c, err := s.unseal(record)
	if err != nil {
		return "", err
	}
	do(&c)
	return s.begin(ctx, c, key, record.Started)
}

func (s sessions) seal(hash []byte, c content) ([]byte, error) {
	now := s.now()
	for name, n := range c.Notes {
		if !now.Before(n.Until) {
			delete(c.Notes, name)
		}
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return s.keys.Seal(plain, SessionPlace(hash))
}

func (s sessions) unseal(record SessionRecord) (content, error) {
	plain, err := s.keys.Unseal(record.Sealed, SessionPlace(record.Hash))
	if err != nil {
		return content{}, fmt.Errorf("the content of a portal session: %w", err)
	}
	var c content
	return c, json.Unmarshal(plain, &c)
}

// setCookie gives the browser a session's key; an empty one takes it away. It is a cookie of the browser's session: how
// long it is good for is in the store. Lax, and not Strict: the way back from the provider's pages begins on another site.
func setCookie(w http.ResponseWriter, name, value string) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
