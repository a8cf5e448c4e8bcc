package throttle

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"postern/internal/secret"
)

var (
	home  = netip.MustParseAddr("192.0.2.1")
	hotel = netip.MustParseAddr("198.51.100.7")
)

func TestI27AtMostTwentyChecksAMinute(t *testing.T) {
	w := newWorld(t)
	var checked []time.Time
	for n := range 3000 { // ten minutes, five a second, each from another address
		if w.wrong("alice", address(n), fmt.Sprint(n)) {
			checked = append(checked, w.clock.now())
		}
		w.pass(200 * time.Millisecond)
	}
	if len(checked) < maxGuesses {
		t.Errorf("%d guesses were checked in ten minutes, want %d at least", len(checked), maxGuesses)
	}
	for i := range checked {
		if i >= 20 && checked[i].Sub(checked[i-20]) < time.Minute {
			t.Fatalf("21 checks within %v", checked[i].Sub(checked[i-20]))
		}
	}
}

func TestI27CheckAtOnceGetNoMoreThanTheirShare(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var all sync.WaitGroup
	checked := 0
	for n := range 200 {
		all.Go(func() {
			if _, admitted := w.Admit("alice", address(n), secret.New(fmt.Sprint(n))); admitted {
				mu.Lock()
				defer mu.Unlock()
				checked++
			}
		})
	}
	all.Wait()
	if checked != guessBurst {
		t.Errorf("%d were checked at once, want %d", checked, guessBurst)
	}
}

func TestI27StrangersWaitAfterAHundredGuesses(t *testing.T) {
	w := newWorld(t)
	w.besiege("alice")
	if w.wrong("alice", address(0), "one more") {
		t.Fatal("a source that has guessed was checked right after the hundredth guess")
	}
	// From now on one check each time, and the time grows.
	for i, delay := range []time.Duration{1, 2, 4, 8, 15, 15} {
		delay *= time.Minute
		w.pass(delay - time.Second)
		if w.wrong("alice", address(i), fmt.Sprint("early ", i)) {
			t.Errorf("delay %d: checked before %v were over", i, delay)
		}
		w.pass(time.Second)
		if !w.wrong("alice", address(i), fmt.Sprint("in time ", i)) {
			t.Errorf("delay %d: not checked after %v", i, delay)
		}
	}
	w.pass(quiet + time.Second)
	for n := range guessBurst {
		if !w.wrong("alice", address(n), fmt.Sprint("the next day ", n)) {
			t.Errorf("guess %d after a quiet day was not checked", n)
		}
	}
}

func TestI27OwnersKnownSourceIsServedThroughout(t *testing.T) {
	w := newWorld(t)
	if !w.right("alice", home) {
		t.Fatal("the first sign-in was held off")
	}
	w.besiege("alice")
	for range 100 {
		if !w.right("alice", home) {
			t.Fatal("the owner's known source was held off")
		}
	}
	// Not even when somebody guesses from there, at this login and others.
	for n := range 200 {
		w.wrong("alice", home, fmt.Sprint("typo ", n))
		w.wrong(fmt.Sprint("login ", n), home, "x")
	}
	if !w.right("alice", home) {
		t.Error("the owner's known source was held off for what a neighbour did")
	}
	w.pass(knownFor + time.Second)
	if check, _ := w.Admit("alice", home, secret.New("x")); check.known {
		t.Error("the source is known for longer than 30 days without a sign-in")
	}
}

func TestI27OwnerGetsInFromAnewPlace(t *testing.T) {
	w := newWorld(t)
	w.besiege("alice")
	// The siege goes on, from where it came: also sources that were turned away all the time. The owner comes from a place
	// from where nobody has guessed.
	for n := range 1000 {
		w.wrong("alice", address(n%100), fmt.Sprint("siege ", n))
	}
	w.pass(freshEvery)
	for n := range 1000 {
		w.wrong("alice", address(n%100), fmt.Sprint("siege ", n))
	}
	if !w.right("alice", hotel) {
		t.Error("the owner was locked out by others")
	}
	// A success ends the row of failures.
	if !w.wrong("alice", address(1), "after it") {
		t.Error("strangers are still held off after a stranger's success")
	}
}

func TestFreshSourcesHaveOneCheckAMinute(t *testing.T) {
	w := newWorld(t)
	w.besiege("alice")
	w.pass(freshEvery)
	if !w.wrong("alice", address(5000), "fresh 0") || w.wrong("alice", address(5001), "fresh 1") {
		t.Error("want one check of a fresh source, and no second one at once")
	}
	w.pass(freshEvery)
	if !w.wrong("alice", address(5002), "fresh 2") {
		t.Error("no check of a fresh source after a minute")
	}
}

func TestARepeatedSecretIsOneGuess(t *testing.T) {
	w := newWorld(t)
	for n := range 2000 {
		if !w.wrong("copier-3", home, "the old one") && n < 100 {
			t.Fatalf("repetition %d was held off", n)
		}
		w.pass(repeatEvery)
	}
	for n := range guessBurst {
		if !w.wrong("copier-3", home, fmt.Sprint(n)) {
			t.Errorf("after 2000 repetitions of one secret, guess %d was held off", n)
		}
	}
	if !w.right("copier-3", hotel) {
		w.pass(guessEvery)
		if !w.right("copier-3", hotel) {
			t.Error("another device cannot sign in")
		}
	}
}

func TestRepetitionsArePaced(t *testing.T) {
	w := newWorld(t)
	checked := 0
	for range 1000 {
		if w.wrong("copier-3", home, "the old one") {
			checked++
		}
	}
	if want := 1 + repeatBurst; checked != want {
		t.Errorf("%d of 1000 at once were checked, want %d", checked, want)
	}
	if !w.right("copier-3", home) {
		t.Error("the right secret is held off with the repeated one")
	}
}

func TestASourceIsHeldOffForAllLogins(t *testing.T) {
	w := newWorld(t)
	if !w.right("bob", home) {
		t.Fatal("bob cannot sign in")
	}
	guess := func(round int) {
		for n := range maxSourceGuesses {
			if !w.wrong(fmt.Sprintf("login %d-%d", round, n), home, "password") {
				t.Fatalf("round %d: guess %d was held off", round, n)
			}
		}
	}
	for round, minutes := range []time.Duration{10, 20, 40, 80, 80} {
		guess(round)
		w.pass(minutes*time.Minute - time.Second)
		if w.wrong("carol", home, "x") {
			t.Errorf("round %d: not held off for %d minutes", round, minutes)
		}
		if !w.right("bob", home) || !w.right("carol", hotel) {
			t.Errorf("round %d: others are held off", round)
		}
		w.pass(time.Second)
	}
	w.pass(quiet + time.Second)
	guess(9)
	w.pass(sourceDelay)
	if !w.wrong("carol", home, "y") {
		t.Error("after a quiet day the delay did not begin anew")
	}
}

func TestFewGuessesInALongTimeHoldNobodyOff(t *testing.T) {
	w := newWorld(t)
	for n := range 500 {
		if !w.wrong(fmt.Sprint("login ", n), home, "x") {
			t.Fatalf("guess %d was held off", n)
		}
		w.pass(40 * time.Second)
	}
}

func TestARightSecretIsNoGuess(t *testing.T) {
	w := newWorld(t)
	for n := range 300 { // an expired password for each of many devices, say
		check, admitted := w.Admit("alice", address(n), secret.New(fmt.Sprint("expired ", n)))
		if !admitted {
			t.Fatalf("attempt %d was held off", n)
		}
		check.Void()
	}
	var zero Check
	zero.Wrong()
	zero.Void()
	zero.Passed()
}

func TestSources(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
		want string
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true, "192.0.2.1/32"},
		{"192.0.2.1", "192.0.2.2", false, "192.0.2.1/32"},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true, "2001:db8::/64"},
		{"2001:db8::1", "2001:db8:0:1::1", false, "2001:db8::/64"},
		{"fe80::1%eth0", "fe80::2%eth1", true, "fe80::/64"},
		{"::1", "0.0.0.1", false, "::/64"},
	} {
		a, b := sourceOf(netip.MustParseAddr(test.a)), sourceOf(netip.MustParseAddr(test.b))
		if (a == b) != test.same || a.prefix().String() != test.want || sourceOf(a.prefix().Addr()) != a {
			t.Errorf("%s is %s, and %s is %s; want %s, the same: %v", test.a, a.prefix(), test.b, b.prefix(), test.want, test.same)
		}
	}
	if sourceOf(netip.Addr{}) != (source{}) {
		t.Error("no address is some source")
	}
}

// TestMemoryIsBounded: a million attempts at a hundred thousand logins from a hundred thousand addresses.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	before := heap()
	attempts := 1_000_000
	if testing.Short() || raceDetector {
		attempts /= 10
	}
	for n := range attempts {
		w.wrong(fmt.Sprint("login ", n%100_000), address(n%100_000), fmt.Sprint(n/7))
		w.pass(time.Millisecond)
	}
	w.store.mu.Lock()
	w.store.counts = nil // the rows are not ours
	w.store.mu.Unlock()
	if grown := (heap() - before) >> 20; grown > 64 {
		t.Errorf("the heap has grown by %d MiB, want at most 64", grown)
	} else {
		t.Logf("the heap has grown by %d MiB", grown)
	}
	runtime.KeepAlive(w)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkAdmit(b *testing.B) {
	w := newWorld(b)
	w.right("alice", home)
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			w.right("alice", home)
		}
	})
	b.Run("stranger", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n++
			w.wrong("bob", address(n), "x")
			w.pass(guessEvery)
		}
	})
}

// Six digits can be guessed from a known place, too: a right code ends the count of guesses and makes no source known.
func TestI27ARightCodeMakesNoSourceKnown(t *testing.T) {
	w := newWorld(t)
	proved := func() bool {
		check, admitted := w.Admit("factor:alice", home, secret.New("the right code"))
		if admitted {
			check.Proved()
		}
		return admitted
	}
	for round := range 3 {
		for n := range maxGuesses - 1 {
			w.pass(guessEvery)
			if !w.wrong("factor:alice", address(n), fmt.Sprint(round, n)) {
				t.Fatalf("round %d: guess %d was held off", round, n)
			}
		}
		w.pass(guessEvery)
		if !proved() {
			t.Fatalf("round %d: the right code was held off", round)
		}
	}
	checked := 0
	for n := range 100 {
		if w.wrong("factor:alice", home, fmt.Sprint("guess ", n)) {
			checked++
		}
	}
	if checked > guessBurst {
		t.Errorf("%d guesses from where a code was proved were checked at once, want %d at most", checked, guessBurst)
	}
	Check{}.Proved()
}

// TestI48ClockStepsLockNobodyOut: whatever somebody was held off for when the clock was set back ends when it would have, or at once;
// set ahead, it gives no login more than its share in a minute that passes.
func TestI48ClockStepsLockNobodyOut(t *testing.T) {
	for name, step := range map[string]time.Duration{"hours back": -5 * time.Hour, "days back": -30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.besiege("alice")
			if w.right("alice", address(1)) {
				t.Fatal("a stranger is served while strangers are held off: the test tests nothing")
			}
			w.pass(step)
			if !w.right("alice", address(1)) {
				t.Error("a login is closed to strangers after the clock was set back")
			}

			for n := range maxSourceGuesses {
				w.wrong(fmt.Sprint("login ", n), address(2), "wrong")
			}
			if w.right("bob", address(2)) {
				t.Fatal("a source is served that is held off: the test tests nothing")
			}
			w.pass(step)
			if !w.right("bob", address(2)) {
				t.Error("a source is held off after the clock was set back")
			}
			for n := range 2 * guessBurst {
				w.wrong("carol", address(100+n), fmt.Sprint("guess ", n))
			}
			w.pass(step)
			w.Guesses.Close()
			w.open() // and over a restart
			if !w.right("carol", address(3)) {
				t.Error("a login has no guess left after the clock was set back")
			}
		})
	}
}
