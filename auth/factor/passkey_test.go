package factor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// enrolPasskey enrols a passkey.
func (w *world) enrolPasskey(a Actor, key *authenticator, name string) (Factor, Proof) {
	w.t.Helper()
	options, err := w.BeginPasskey(w.t.Context(), a)
	w.must(err)
	f, proof, err := w.FinishPasskey(w.t.Context(), a, name, key.create(options))
	w.must(err)
	return f, proof
}

func TestAPasskeyIsEnrolledAndProves(t *testing.T) {
	w := newWorld(t)
	key := newAuthenticator(t)
	f, proof := w.enrolPasskey(w.alice("b1"), key, "laptop")
	w.recordedAs("factor-enrolled")
	if f.Method != Passkey || proof.Factor != f.ID || proof.Method != Passkey {
		t.Errorf("got %+v and %+v", f, proof)
	}
	for range 3 {
		w.now = w.now.Add(time.Hour)
		options, err := w.BeginProof(t.Context(), w.alice("b2"))
		w.must(err)
		proof, err := w.ProvePasskey(t.Context(), w.alice("b2"), key.get(options))
		w.must(err)
		w.recordedAs("factor-proven")
		if proof.Factor != f.ID || !proof.At.Equal(w.now) {
			t.Errorf("got %+v", proof)
		}
	}
	if got := w.store.factors[0]; got.Counter != int64(key.counter) || !got.Used.Equal(w.now) {
		t.Errorf("kept counter %d and use %s, want %d and %s", got.Counter, got.Used, key.counter, w.now)
	}
}

func TestOptionsAskForWhatIsNeeded(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	key := newAuthenticator(t)
	_, proof := w.enrolPasskey(a, key, "laptop")
	a.Proof = proof
	raw, err := w.BeginPasskey(t.Context(), a)
	w.must(err)
	o := key.read(raw)
	if o.RP.ID != "mail.contoso.example" || o.AuthenticatorSelection.UserVerification != "required" || o.AuthenticatorSelection.ResidentKey != "preferred" {
		t.Errorf("enrolment: got %s", raw)
	}
	if len(o.ExcludeCredentials) != 1 || o.ExcludeCredentials[0].ID != b64(key.id) {
		t.Errorf("enrolment does not exclude the passkey that there is: %s", raw)
	}
	if strings.Contains(o.User.ID, b64([]byte("alice"))) || len(key.handle) != 32 {
		t.Errorf("the user handle %x says who it is", key.handle)
	}
	raw, err = w.BeginProof(t.Context(), a)
	w.must(err)
	o = key.read(raw)
	if o.RPID != "mail.contoso.example" || o.UserVerification != "required" || len(o.AllowCredentials) != 1 || o.AllowCredentials[0].ID != b64(key.id) {
		t.Errorf("proof: got %s", raw)
	}
}

func TestAnAnswerCountsOnceAndInItsBrowser(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	key := newAuthenticator(t)
	w.enrolPasskey(a, key, "laptop")
	w.recorded()
	options, err := w.BeginProof(t.Context(), a)
	w.must(err)
	answer := key.get(options)
	_, err = w.ProvePasskey(t.Context(), w.alice("b2"), answer)
	w.refuses("in another browser", err, NotBegun)
	_, err = w.ProvePasskey(t.Context(), a, answer)
	w.must(err)
	w.recorded()
	_, err = w.ProvePasskey(t.Context(), a, answer)
	w.refuses("once more", err, NotBegun)

	options, err = w.BeginProof(t.Context(), a)
	w.must(err)
	_, err = w.ProvePasskey(t.Context(), a, answer)
	w.refuses("to another challenge", err, WrongPasskey)
	_, err = w.ProvePasskey(t.Context(), a, key.get(options))
	w.refuses("after a wrong answer", err, NotBegun)

	options, err = w.BeginProof(t.Context(), a)
	w.must(err)
	w.now = w.now.Add(ceremonyTime + time.Second)
	_, err = w.ProvePasskey(t.Context(), a, key.get(options))
	w.refuses("too late", err, NotBegun)
}

func TestLyingAnswersAreRefused(t *testing.T) {
	other := newAuthenticator(t)
	for what, lie := range map[string]func(*authenticator){
		"another origin":       func(a *authenticator) { a.origin = "https://mail.contoso.example.evil.example:8443" },
		"another port":         func(a *authenticator) { a.origin = "https://mail.contoso.example" },
		"plain http":           func(a *authenticator) { a.origin = "http://mail.contoso.example:8443" },
		"another host's":       func(a *authenticator) { a.rpID = "evil.example" },
		"no user verification": func(a *authenticator) { a.flags = 1 },
		"no user presence":     func(a *authenticator) { a.flags = 4 },
		"another key":          func(a *authenticator) { a.key = other.key },
		"another credential":   func(a *authenticator) { a.id = other.id },
		"another person's":     func(a *authenticator) { a.handle = bytes.Repeat([]byte{1}, 32) },
		"backed up meanwhile":  func(a *authenticator) { a.flags |= 8 | 16 },
	} {
		w := newWorld(t)
		key := newAuthenticator(t)
		w.enrolPasskey(w.alice("b1"), key, "laptop")
		w.recorded()
		lie(key)
		options, err := w.BeginProof(t.Context(), w.alice("b1"))
		w.must(err)
		_, err = w.ProvePasskey(t.Context(), w.alice("b1"), key.get(options))
		w.refuses(what, err, WrongPasskey)
	}
	for what, lie := range map[string]func(*authenticator){
		"another origin":       func(a *authenticator) { a.origin = "https://evil.example" },
		"another host's":       func(a *authenticator) { a.rpID = "evil.example" },
		"no user verification": func(a *authenticator) { a.flags = 1 },
	} {
		w := newWorld(t)
		key := newAuthenticator(t)
		lie(key)
		options, err := w.BeginPasskey(t.Context(), w.alice("b1"))
		w.must(err)
		_, _, err = w.FinishPasskey(t.Context(), w.alice("b1"), "laptop", key.create(options))
		w.refuses("enrolment: "+what, err, WrongPasskey)
		if len(w.store.factors) != 0 {
			t.Errorf("enrolment: %s is kept", what)
		}
	}
}

func TestACopiedPasskeyIsRefused(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	key := newAuthenticator(t)
	w.enrolPasskey(a, key, "laptop")
	prove := func(key *authenticator) error {
		options, err := w.BeginProof(t.Context(), a)
		w.must(err)
		_, err = w.ProvePasskey(t.Context(), a, key.get(options))
		return err
	}
	thief := *key
	w.must(prove(key))
	w.must(prove(key))
	w.recorded()
	w.refuses("the copy", prove(&thief), PasskeyCopied)

	// A counter that stays at 0 is one of a passkey that does not count, such as one that is kept by several devices.
	w = newWorld(t)
	key = newAuthenticator(t)
	key.counter = 0
	w.enrolPasskey(a, key, "laptop")
	for range 2 {
		key.counter--
		w.must(prove(key))
	}
}

func TestWithoutAPasskeyNoneIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.enrolTOTP(w.alice("b1"), "telephone")
	if _, err := w.BeginProof(t.Context(), w.alice("b1")); ReasonOf(err) != UnknownFactor {
		t.Errorf("got %v, want that there is none", err)
	}
}

func TestAnotherPersonsPasskeyProvesNothing(t *testing.T) {
	w := newWorld(t)
	key, mallorys := newAuthenticator(t), newAuthenticator(t)
	mallory := w.alice("b2")
	mallory.Person.ObjectID = "mallory"
	w.enrolPasskey(w.alice("b1"), key, "laptop")
	w.enrolPasskey(mallory, mallorys, "laptop")
	w.recorded()
	options, err := w.BeginProof(t.Context(), w.alice("b1"))
	w.must(err)
	_, err = w.ProvePasskey(t.Context(), w.alice("b1"), mallorys.get(options))
	w.refuses("mallory's", err, WrongPasskey)
}

func FuzzProvePasskey(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"","signature":"","userHandle":""}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		w := newWorld(t)
		key := newAuthenticator(t)
		w.enrolPasskey(w.alice("b1"), key, "laptop")
		_, err := w.BeginProof(t.Context(), w.alice("b1"))
		w.must(err)
		if _, err := w.ProvePasskey(t.Context(), w.alice("b1"), answer); ReasonOf(err) != WrongPasskey {
			t.Errorf("%q: got %v", answer, err)
		}
		_, err = w.BeginPasskey(t.Context(), w.alice("b2"))
		if err == nil {
			t.Fatal("a second passkey without a proof")
		}
	})
}

func FuzzFinishPasskey(f *testing.F) {
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if !json.Valid(answer) {
			return
		}
		w := newWorld(t)
		_, err := w.BeginPasskey(t.Context(), w.alice("b1"))
		w.must(err)
		if _, _, err := w.FinishPasskey(t.Context(), w.alice("b1"), "laptop", answer); ReasonOf(err) != WrongPasskey {
			t.Errorf("%q: got %v", answer, err)
		}
	})
}
