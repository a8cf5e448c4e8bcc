package apppassword

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func use(id string, at time.Time, client string) Use {
	return Use{ID: id, At: at, From: netip.MustParseAddr("10.0.8.9"), Client: client}
}

func TestStamperGathersAndKeepsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		s := NewStamper(store, slog.New(slog.DiscardHandler))
		s.Stamp(use("a", now.Add(2), "late"))
		s.Stamp(use("a", now.Add(1), "early"))
		s.Stamp(use("b", now, ""))
		synctest.Wait()
		if writes, _ := store.written(); writes != 0 {
			t.Error("a use was written on the path of the one who signed in")
		}
		time.Sleep(stampEvery)
		synctest.Wait()
		if writes, got := store.written(); writes != 1 || got != "b: a:late" {
			t.Errorf("got %q in %d writes, want b's and a's late one in one", got, writes)
		}

		time.Sleep(time.Hour)
		if writes, _ := store.written(); writes != 1 {
			t.Errorf("%d writes when nobody signed in", writes-1)
		}

		s.Stamp(use("a", now.Add(3), "last"))
		s.Close()
		s.Close()
		s.Stamp(use("a", now, "after the end"))
		if writes, got := store.written(); writes != 2 || got != "b: a:late a:last" {
			t.Errorf("after Close: got %q in %d writes, want a's last one too", got, writes)
		}
	})
}

func TestStamperKeepsUsesWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &memory{fail: errors.New("the store is locked")}
		s := NewStamper(store, slog.New(slog.NewTextHandler(&log, nil)))
		s.Stamp(use("a", now, "first"))
		s.Stamp(use("b", now, "first"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "the store is locked"); n != 1 {
			t.Errorf("%d lines in the log, want 1:\n%s", n, &log)
		}
		s.Stamp(use("b", now.Add(1), "second"))
		store.heal()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, got := store.written(); got != "a:first b:second" {
			t.Errorf("got %q, want both, b's second", got)
		}
		s.Close()
	})
}

func TestStamperSaysWhatCloseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewStamper(&memory{fail: errors.New("the store is locked")}, slog.New(slog.NewTextHandler(&log, nil)))
		s.Stamp(use("a", now, ""))
		time.Sleep(10 * time.Second)
		s.Close()
		if n := strings.Count(log.String(), "retry=false"); n != 1 {
			t.Errorf("%d lines about the loss in the log, want 1:\n%s", n, &log)
		}
	})
}

func TestStamperUnderConcurrentUse(t *testing.T) {
	store := &memory{}
	s := NewStamper(store, slog.New(slog.DiscardHandler))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				s.Stamp(use("a", now.Add(time.Duration(i*100+j)), ""))
			}
		})
	}
	all.Wait()
	s.Close()
	if n := len(store.stamped); n == 0 || !store.stamped[n-1].At.Equal(now.Add(799)) {
		t.Errorf("got %d uses, the last of them %v", n, store.stamped)
	}
}
