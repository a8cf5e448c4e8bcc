package session

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLimitCountsByLogin(t *testing.T) {
	testLimit(t, Limits{Login: 2}, Info{Login: "a", Mailbox: "m"}, Info{Login: "b", Mailbox: "m"}, "login a has 2 sessions already")
}

func TestLimitCountsByMailboxAndProtocol(t *testing.T) {
	testLimit(t, Limits{Login: 9, Mailbox: 2}, Info{Protocol: "imap", Login: "a", Mailbox: "m"}, Info{Protocol: "smtp", Login: "a", Mailbox: "m"},
		"mailbox m has 2 imap sessions already")
}

// testLimit fills a limit of two with one kind of session, which must leave another kind alone.
func testLimit(t *testing.T, limits Limits, one, other Info, want string) {
	t.Helper()
	var r Register
	add := func(what string, info Info, full bool) *Live {
		t.Helper()
		live, err := r.Add(limits, info, func(string) {})
		switch {
		case !full && err != nil:
			t.Fatalf("%s: got %v, want it let in", what, err)
		case full && (err == nil || !strings.Contains(err.Error(), want)):
			t.Fatalf("%s: got %v, want %q", what, err, want)
		}
		return live
	}
	first := add("the first of two", one, false)
	add("the second of two", one, false)
	add("a third of two", one, true)
	add("another", other, false)
	first.Remove()
	first.Remove() // must not count twice
	add("one in a freed place", one, false)
	add("one more than Remove freed", one, true)
}

func TestListIsOrderedByAge(t *testing.T) {
	var r Register
	at := time.Unix(1000, 0)
	for i, id := range []string{"c", "a", "b"} {
		if _, err := r.Add(Limits{}, Info{ID: id, Started: at.Add(time.Duration([]int{2, 0, 1}[i]) * time.Second)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := ""
	for _, info := range r.List() {
		got += info.ID
	}
	if got != "abc" {
		t.Errorf("got %q, want abc", got)
	}
}

func TestCutMayRemove(t *testing.T) {
	var r Register
	var mu sync.Mutex
	causes := map[string]string{}
	for _, login := range []string{"a", "a", "b"} {
		var live *Live
		live, _ = r.Add(Limits{}, Info{Login: login}, func(cause string) {
			live.Remove()
			mu.Lock()
			defer mu.Unlock()
			causes[login] = cause
		})
	}
	if got := r.Count(func(i Info) bool { return i.Login == "a" }); got != 2 {
		t.Errorf("counted %d sessions, want 2", got)
	}
	if got := r.Cut("revoked", func(i Info) bool { return i.Login == "a" }); got != 2 {
		t.Errorf("cut %d sessions, want 2", got)
	}
	if causes["a"] != "revoked" || causes["b"] != "" {
		t.Errorf("causes %v", causes)
	}
	if list := r.List(); len(list) != 1 || list[0].Login != "b" {
		t.Errorf("left: %v", list)
	}
}
