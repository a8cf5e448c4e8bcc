package entra

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// signIn is a person's sign-in to an application: what codes and refresh tokens stand for.
type signIn struct {
	objectID string // of the person
	clientID string
	scope    scope // as it was asked for
	at       time.Time
	mfa      bool
	nonce    string
	claims   claimsRequest
}

// refreshToken is a refresh token that was issued.
type refreshToken struct {
	signIn
	revoked bool
}

// state is what the server remembers. Everything is lost with it.
type state struct {
	mu         sync.Mutex
	refresh    map[string]*refreshToken      // refresh token → what it stands for
	codes      map[string]*authorizationCode // code → what it stands for
	devices    map[string]*device            // device code → device
	flows      map[string]*flow              // id in a page → sign-in that is under way
	sessions   map[string]signIn             // cookie → how the browser has signed in
	mfaCodes   map[string]string             // object id of a person → the code that their second factor shows
	assertions map[string]time.Time          // client id and jti → expiry, of assertions that were used
	generation byte                          // of access tokens: those of an earlier one are no longer taken
}

func newState() state {
	return state{
		refresh: map[string]*refreshToken{}, codes: map[string]*authorizationCode{}, devices: map[string]*device{},
		flows: map[string]*flow{}, sessions: map[string]signIn{}, mfaCodes: map[string]string{}, assertions: map[string]time.Time{},
	}
}

// find gives what a map holds for a key, under the lock.
func find[V any](s *state, all map[string]V, key string) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := all[key]
	return v, ok
}

// keep puts something into a map, under the lock.
func keep[V any](s *state, all map[string]V, key string, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all[key] = v
}

// newRefreshToken issues a refresh token. Earlier ones of the same sign-in go on working, as Entra's do.
func (s *state) newRefreshToken(of signIn) string {
	token := "1." + randomText(512)
	keep(s, s.refresh, token, &refreshToken{signIn: of})
	return token
}

// randomBytes gives n random bytes.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it cannot fail
	return b
}

// randomText gives n random bytes as text for tokens.
func randomText(n int) string { return base64.RawURLEncoding.EncodeToString(randomBytes(n)) }

// randomFrom gives n random characters of an alphabet.
func randomFrom(alphabet string, n int) string {
	var text strings.Builder
	for range n {
		text.WriteByte(alphabet[randomBelow(int64(len(alphabet)))])
	}
	return text.String()
}

func randomBelow(n int64) int64 {
	i, err := rand.Int(rand.Reader, big.NewInt(n))
	if err != nil { // it cannot fail
		panic(err)
	}
	return i.Int64()
}

// newGUID gives a random GUID (RFC 9562 section 5.4).
func newGUID() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// oneOf reports whether a list has a word, without regard to case.
func oneOf(list []string, word string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, word) })
}
