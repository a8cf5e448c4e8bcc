package throttle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postern/internal/secret"
)

func (m *memory) ChangeCount(_ context.Context, kind string, subject [16]byte, f func(Count) Count) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.counts == nil {
		m.counts, m.known = make(map[string]Count), make(map[string]Known)
	}
	key := fmt.Sprintf("%s %x", kind, subject)
	c, there := m.counts[key]
	if !there {
		c = Count{Kind: kind, Subject: subject}
	}
	m.counts[key] = f(c)
	return nil
}

func (m *memory) GuessesSince(_ context.Context, since time.Time, _ int) ([]Count, []Known, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var counts []Count
	var known []Known
	for _, c := range m.counts {
		if !c.Guessed.Before(since) {
			counts = append(counts, c)
		}
	}
	for _, k := range m.known {
		if !k.Used.Before(since) {
			known = append(known, k)
		}
	}
	return counts, known, m.fail
}

// cluster is some gateways that share a store and a clock.
func cluster(t *testing.T, n int) []*world {
	t.Helper()
	worlds := make([]*world, n)
	for i := range worlds {
		worlds[i] = &world{clock: &clock{at: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}, t: t, store: &memory{}}
		if i > 0 {
			worlds[i].clock, worlds[i].store = worlds[0].clock, worlds[0].store
		}
		w := worlds[i]
		g, err := Open(t.Context(), Config{Store: w.store, Shared: w.store, Hash: hash, Log: slog.New(slog.DiscardHandler), Now: w.clock.now})
		if err != nil {
			t.Fatal(err)
		}
		w.Guesses = g
		t.Cleanup(g.Close)
	}
	return worlds
}

// TestI27GuessesAreSharedBetweenNodes: one login has one pace, however many gateways an attacker has to choose from.
func TestI27GuessesAreSharedBetweenNodes(t *testing.T) {
	nodes := cluster(t, 3)
	for minute := range 3 {
		checked := 0
		for second := range 60 {
			for n, node := range nodes {
				if node.wrong("alice", address(1000*minute+10*second+n), fmt.Sprint("guess ", minute, second, n)) {
					checked++
				}
			}
			nodes[0].pass(time.Second)
		}
		if checked > 20 || checked < 9 {
			t.Errorf("minute %d: %d guesses were checked on three gateways, want no more than 20 and about 10 at least", minute, checked)
		}
	}
}

// TestSharedGuessesFollow: a source that guesses at one gateway is held off at another, and who has signed in at one is known
// there.
func TestSharedGuessesFollow(t *testing.T) {
	nodes := cluster(t, 2)
	nodes[0].right("alice", home)
	for n := range maxSourceGuesses {
		nodes[n%2].wrong(fmt.Sprint("login ", n), hotel, "x")
	}
	if nodes[0].wrong("bob", hotel, "y") && nodes[1].wrong("bob", hotel, "y") {
		t.Error("a source with its guesses spread over two gateways is held off by neither")
	}
	if _, err := nodes[0].flush(); err != nil {
		t.Fatal(err)
	}
	seen := nodes[1].clock.now()
	nodes[1].Guesses.look(seen)
	if nodes[1].wrong("carol", hotel, "z") {
		t.Error("the source is not held off at the other gateway")
	}
	nodes[1].besiege("alice")
	nodes[0].Guesses.look(seen)
	for i, node := range nodes {
		if node.wrong("alice", hotel, "another") || node.wrong("alice", address(0), "another") {
			t.Errorf("gateway %d checks guesses at alice", i)
		}
		if !node.right("alice", home) {
			t.Errorf("gateway %d does not know alice's home", i)
		}
	}
}

// TestSharedSuccessBeginsAnew: a stranger's success at one gateway lets strangers in at the others.
func TestSharedSuccessBeginsAnew(t *testing.T) {
	nodes := cluster(t, 2)
	nodes[0].besiege("alice")
	nodes[0].pass(lastDelay + time.Minute)
	if !nodes[0].right("alice", hotel) {
		t.Fatal("a stranger is kept out for longer than the delay")
	}
	nodes[1].Guesses.look(nodes[1].clock.now())
	nodes[1].pass(time.Minute)
	if !nodes[1].wrong("alice", address(0), "x") || !nodes[1].wrong("alice", address(0), "y") {
		t.Error("the other gateway still holds strangers off")
	}
}

// TestSharedStoreThatFails: each gateway goes on with its own counts, and the log says so once.
func TestSharedStoreThatFails(t *testing.T) {
	w := cluster(t, 1)[0]
	var log strings.Builder
	w.Guesses.log = slog.New(slog.NewTextHandler(&log, nil))
	w.store.set(errors.New("no connection"))
	checked := 0
	for n := range 30 {
		if w.wrong("alice", address(n), fmt.Sprint(n)) {
			checked++
		}
	}
	if checked != guessBurst {
		t.Errorf("%d guesses were checked without the store, want %d", checked, guessBurst)
	}
	w.store.set(nil)
	w.pass(time.Minute)
	check, admitted := w.Admit("alice", home, secret.New("right"))
	if !admitted {
		t.Fatal("not admitted")
	}
	check.Passed()
	if a, b := strings.Count(log.String(), "by this gateway alone"), strings.Count(log.String(), "together with other gateways again"); a != 1 || b != 1 {
		t.Errorf("%d and %d lines in the log, want 1 of each:\n%s", a, b, &log)
	}
}
