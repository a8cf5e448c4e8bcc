package session

import (
	"sync"
	"testing"
	"time"
)

func TestLimitCountsByLogin(t *testing.T) {
	var r Register
	none := func(string) {}
	first, ok := r.AddWithin(2, Info{Login: "a"}, none)
	if !ok {
		t.Fatal("the first of two was refused")
	}
	if _, ok := r.AddWithin(2, Info{Login: "a"}, none); !ok {
		t.Fatal("the second of two was refused")
	}
	if _, ok := r.AddWithin(2, Info{Login: "a"}, none); ok {
		t.Fatal("a third of two was let in")
	}
	if _, ok := r.AddWithin(2, Info{Login: "b"}, none); !ok {
		t.Fatal("another login was refused")
	}
	first.Remove()
	first.Remove() // must not count twice
	if _, ok := r.AddWithin(2, Info{Login: "a"}, none); !ok {
		t.Fatal("a freed place was refused")
	}
	if _, ok := r.AddWithin(2, Info{Login: "a"}, none); ok {
		t.Fatal("one Remove freed two places")
	}
}

func TestListIsOrderedByAge(t *testing.T) {
	var r Register
	at := time.Unix(1000, 0)
	for i, id := range []string{"c", "a", "b"} {
		r.Add(Info{ID: id, Started: at.Add(time.Duration([]int{2, 0, 1}[i]) * time.Second)}, nil)
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
		live = r.Add(Info{Login: login}, func(cause string) {
			live.Remove()
			mu.Lock()
			defer mu.Unlock()
			causes[login] = cause
		})
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
