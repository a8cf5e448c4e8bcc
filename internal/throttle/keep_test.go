package throttle

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/secret"
)

func TestI27RestartKeepsTheCounts(t *testing.T) {
	w := newWorld(t)
	w.right("alice", home)
	w.besiege("alice")
	for n := range maxSourceGuesses {
		w.wrong(fmt.Sprint("login ", n), hotel, "x")
	}
	for range 3 {
		w.Guesses.Close()
		w.open()
		if w.wrong("alice", address(0), "after the restart") {
			t.Error("the guesses at alice are forgotten")
		}
		if w.wrong("bob", hotel, "y") {
			t.Error("the guesses from the hotel are forgotten")
		}
		if !w.right("alice", home) {
			t.Error("the known source is forgotten")
		}
	}
	for _, c := range w.store.counts {
		if strings.Contains(fmt.Sprintf("%s", c.Subject), "alice") {
			t.Error("a count has the name of its login")
		}
	}
	if _, known, _ := w.store.size(); known != 1 {
		t.Errorf("%d known sources are kept, want alice's home", known)
	}
}

// TestChangesAreWrittenTogether: not in the path of those who sign in, once a second, and not at all when nothing happens.
func TestChangesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		g, err := Open(t.Context(), Config{Store: store, Hash: hash, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			check, _ := g.Admit("alice", address(n), secret.New(fmt.Sprint(n)))
			check.Wrong()
		}
		synctest.Wait()
		if _, _, saves := store.size(); saves != 0 {
			t.Error("a guess was written in the path of the one who made it")
		}
		time.Sleep(writeEvery)
		synctest.Wait()
		if counts, _, saves := store.size(); counts != 6 || saves != 1 {
			t.Errorf("%d counts in %d writes, want one login and five sources in one", counts, saves)
		}
		time.Sleep(time.Hour)
		if _, _, saves := store.size(); saves != 1 {
			t.Errorf("%d writes when nothing happened", saves-1)
		}
		check, _ := g.Admit("alice", home, secret.New("right"))
		check.Passed()
		g.Close()
		g.Close()
		if _, known, _ := store.size(); known != 1 {
			t.Error("Close does not write what is left")
		}
	})
}

// TestAFloodIsWrittenInBatches: however many there are, one second's share is bounded, and in the end all are there.
func TestAFloodIsWrittenInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		g, err := Open(t.Context(), Config{Store: store, Hash: hash, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		const sources = 3000
		for n := range sources {
			check, _ := g.Admit(fmt.Sprint("login ", n), address(n), secret.New("x"))
			check.Wrong()
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if counts, _, saves := store.size(); counts != 2*sources || store.most > writeBatch || saves > 20 {
			t.Errorf("%d counts in %d writes of up to %d, want %d in batches of up to %d", counts, saves, store.most, 2*sources, writeBatch)
		}
		g.Close()
	})
}

func TestAStoreThatFailsStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &memory{}
		g, err := Open(t.Context(), Config{Store: store, Hash: hash, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		store.set(errors.New("disk trouble"))
		check, _ := g.Admit("alice", home, secret.New("wrong"))
		check.Wrong()
		check, _ = g.Admit("alice", home, secret.New("right"))
		check.Passed()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "disk trouble"); n != 1 {
			t.Errorf("%d lines in the log, want 1:\n%s", n, &log)
		}
		store.set(nil)
		time.Sleep(2 * writeEvery)
		synctest.Wait()
		if counts, known, _ := store.size(); counts != 2 || known != 1 {
			t.Errorf("%d counts and %d known sources once the store works again, want 2 and 1", counts, known)
		}
		store.set(errors.New("gone"))
		check, _ = g.Admit("bob", hotel, secret.New("wrong"))
		check.Wrong()
		g.Close()
		if !strings.Contains(log.String(), "retry=false") {
			t.Errorf("nothing tells what was lost:\n%s", &log)
		}
	})
	store := &memory{fail: errors.New("disk trouble")}
	if _, err := Open(t.Context(), Config{Store: store, Hash: hash, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, store.fail) {
		t.Errorf("a start with counts that cannot be read: got %v", err)
	}
}
