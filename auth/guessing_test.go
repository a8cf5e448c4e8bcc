package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/internal/secret"
)

const alice = "alice@contoso.example"

// wrongSecret gives the nth wrong password, in the form of a right one.
func wrongSecret(n int) secret.Text {
	return secret.New(fmt.Sprintf("aaaa-aaaa-aaaa-aaaa-aaaa-%04d", n))
}

// attacker gives the nth address of an attacker.
func attacker(n int) string {
	return netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}).String()
}

// TestI26DenialsLookAlike: whatever the reason, the caller gets the same kind of refusal without a word, after the same
// time, and the audit log alone knows more.
func TestI26DenialsLookAlike(t *testing.T) {
	w := newWorld(t)
	_, right := w.issue(alice, 0, "command-line")
	revoked, revokedPassword := w.issue(alice, 0, "command-line")
	if err := w.store.RevokePassword(t.Context(), revoked, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, aged := w.issue("copier-3", 2*time.Hour, "command-line")
	_, foreign := w.issue("copier-3", 0, "totp")
	for n := range 30 { // until a place is held off
		w.try(fmt.Sprintf("user%d@contoso.example", n), "203.0.113.9", wrongSecret(n))
	}
	for _, test := range []struct {
		login, from string
		password    secret.Text
		want        Reason
	}{
		{"nobody@elsewhere.example", "192.0.2.1", right, UnknownLogin},
		{"bob@contoso.example", "192.0.2.1", right, WrongPassword}, // known by its domain, never enrolled
		{alice, "192.0.2.1", secret.New(""), WrongPassword},
		{alice, "192.0.2.1", revokedPassword, PasswordRevoked},
		{"copier-3", "192.0.2.1", aged, EvidenceExpired},
		{"copier-3", "192.0.2.1", foreign, EvidenceMissing},
		{alice, "203.0.113.9", right, HeldOff},
	} {
		w.waited.Store(0)
		before := len(w.lines())
		refusal := w.refusal(test.login, test.from, test.password)
		if refusal == nil || refusal.Reason != test.want || refusal.Kind != Denied || refusal.Say != "" || refusal.Err != nil {
			t.Errorf("got %+v, want it denied for %s without a word", refusal, test.want)
			continue
		}
		if waited := time.Duration(w.waited.Load()); waited < denialTime-100*time.Millisecond || waited > denialTime+denialJitter {
			t.Errorf("%s: waited %v more, want about %v", test.want, waited, denialTime)
		}
		lines := w.lines()[before:]
		if len(lines) != 1 || lines[0].Reason != string(test.want) || lines[0].Login != test.login {
			t.Errorf("%s: the audit log has %+v", test.want, lines)
		}
	}
}

// TestI27GuessesAreCountedForAllProtocols: guesses by one protocol count for the other, and over a restart; the owner's
// known source is served throughout.
func TestI27GuessesAreCountedForAllProtocols(t *testing.T) {
	w := newWorld(t)
	_, right := w.issue(alice, 0, "command-line")
	if reason := w.try(alice, "192.0.2.1", right); reason != "" {
		t.Fatalf("the owner was refused for %s", reason)
	}
	held := func(protocol Protocol, n int) bool {
		_, err := w.SignIn(t.Context(), Attempt{Protocol: protocol, Login: alice, Secret: wrongSecret(n), Remote: netip.MustParseAddrPort(attacker(n) + ":1")}, nil)
		return RefusalOf(err).Reason == HeldOff
	}
	for n := range 10 {
		if held([]Protocol{IMAP, SMTP}[n%2], n) {
			t.Fatalf("guess %d was held off", n)
		}
	}
	if !held(IMAP, 10) || !held(SMTP, 11) {
		t.Error("an eleventh guess at once was checked")
	}
	for n := range 25 { // twenty of them make the source wait
		w.try(fmt.Sprintf("user%d@contoso.example", n), "203.0.113.200", wrongSecret(n))
	}
	w.close()
	w.open()
	if reason := w.try("carol@contoso.example", "203.0.113.200", wrongSecret(99)); reason != HeldOff {
		t.Errorf("after a restart the source is refused for %q, want %s", reason, HeldOff)
	}
	if reason := w.try("ALICE@contoso.example", "192.0.2.1", right); reason != "" {
		t.Errorf("after a restart the owner's known source was refused for %s", reason)
	}
}

// TestI30FloodOfGuesses: 200,000 wrong guesses from 1,000 addresses, by both protocols, cost a bounded time and few lines of the audit log,
// and those who are honest do not notice.
func TestI30FloodOfGuesses(t *testing.T) {
	if testing.Short() {
		t.Skip("a flood takes its time")
	}
	const attempts, addresses, floods = 200_000, 1000, 8
	w := newWorld(t)
	_, owner := w.issue(alice, 0, "command-line")
	if reason := w.try(alice, "192.0.2.1", owner); reason != "" {
		t.Fatalf("the owner was refused for %s", reason)
	}
	over := make(chan struct{})
	var flood, honest sync.WaitGroup
	for f := range floods {
		flood.Go(func() {
			for n := f; n < attempts; n += floods {
				login := alice
				if n%4 == 0 { // and others, whether they exist or not
					login = fmt.Sprintf("user%d@contoso.example", n%5000)
				}
				if reason := w.tryBy([]Protocol{IMAP, SMTP}[n/2%2], login, attacker(n%addresses), wrongSecret(n)); reason == "" {
					t.Error("a guess was right")
				}
			}
		})
	}
	slowest := make([]time.Duration, 2)
	served := make([]int, 2)
	honest.Go(func() {
		slowest[0], served[0] = w.signInUntil(over, func(int) (string, string) { return alice, "192.0.2.1" }, owner)
	})
	honest.Go(func() { // newcomers, each from a place of their own
		_, password := w.issue("newcomer@contoso.example", 0, "command-line")
		slowest[1], served[1] = w.signInUntil(over, func(n int) (string, string) {
			return "newcomer@contoso.example", netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}).String()
		}, password)
	})
	began := time.Now()
	flood.Wait()
	took := time.Since(began)
	close(over)
	honest.Wait()
	for i, who := range []string{"the owner", "newcomers"} {
		if served[i] == 0 || slowest[i] > 2*time.Second {
			t.Errorf("%s: %d sign-ins, the slowest but for a hundredth took %v; want them under 2 s", who, served[i], slowest[i])
		}
	}
	if err := w.Gate.Close(); err != nil {
		t.Fatal(err)
	}
	lines, refused := 0, 0
	for _, l := range w.lines() {
		switch {
		case l.Kind == "sign-ins-refused":
			refused += l.Attempts
		case l.Reason != "":
			lines++
			refused++
		}
	}
	if windows := int(took/diaryWindow) + 1; lines > windows*(guessLines+heldOffLines) {
		t.Errorf("%d lines for the flood in %v", lines, took)
	}
	if refused != attempts {
		t.Errorf("the audit log knows of %d refused attempts, want %d", refused, attempts)
	}
	t.Logf("%d attempts in %v; %d lines; honest sign-ins: %d and %d, the slowest %v and %v", attempts, took, lines, served[0], served[1], slowest[0], slowest[1])
}

// signInUntil signs in again and again, and gives how many sign-ins there were, and the longest time that one took of all but the
// slowest hundredth: a machine that runs other tests as well lets a process wait at times.
func (w *world) signInUntil(over <-chan struct{}, who func(int) (login, from string), password secret.Text) (slowest time.Duration, n int) {
	var took []time.Duration
	for ; ; n++ {
		select {
		case <-over:
			slices.Sort(took)
			if n > 0 {
				slowest = took[n-1-n/100]
			}
			return slowest, n
		default:
		}
		login, from := who(n)
		began := time.Now()
		if reason := w.try(login, from, password); reason != "" {
			w.t.Errorf("sign-in %d of %s from %s: refused for %s", n, login, from, reason)
			return 0, n
		}
		took = append(took, time.Since(began))
	}
}

// BenchmarkSignIn measures the policy layer with everything on: store, keys, audit log and guesses. 200 µs are allowed.
func BenchmarkSignIn(b *testing.B) {
	w := newWorld(b)
	_, right := w.issue(alice, 0, "command-line")
	b.Run("allowed", func(b *testing.B) {
		for b.Loop() {
			if reason := w.try(alice, "192.0.2.1", right); reason != "" {
				b.Fatal(reason)
			}
		}
	})
	b.Run("wrong", func(b *testing.B) { // from the owner's place: always checked
		for b.Loop() {
			if reason := w.try(alice, "192.0.2.1", secret.New("wrong")); reason != WrongPassword {
				b.Fatal(reason)
			}
		}
	})
	b.Run("held off", func(b *testing.B) {
		for n := range 30 {
			w.try(alice, "203.0.113.9", wrongSecret(n))
		}
		for b.Loop() {
			if reason := w.try(alice, "203.0.113.9", right); reason != HeldOff {
				b.Fatal(reason)
			}
		}
	})
}
