package throttle

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestTableForgetsTheOldest compares one part of a table with a list.
func TestTableForgetsTheOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 5
		p := part[int, int]{limit: limit, entries: make(map[int]*entry[int, int]), dirty: make(map[int]struct{})}
		var model []int // the oldest first
		for _, key := range rapid.SliceOf(rapid.IntRange(0, 9)).Draw(t, "keys") {
			e := p.entries[key]
			if e == nil {
				e = p.add(key)
			}
			p.touch(e)
			for i, other := range model {
				if other == key {
					model = append(model[:i:i], model[i+1:]...)
					break
				}
			}
			if model = append(model, key); len(model) > limit {
				model = model[1:]
			}
			var got []int
			for e := p.oldest; e != nil; e = e.newer {
				got = append(got, e.key)
			}
			if fmt.Sprint(got) != fmt.Sprint(model) || len(p.entries) != len(model) || p.newest.key != key {
				t.Fatalf("got %v in a map of %d, want %v", got, len(p.entries), model)
			}
		}
	})
}

func TestTableGivesWhatIsToBeWritten(t *testing.T) {
	table := newTable[int, int](1000)
	for key := range 100 {
		table.change(key, func(v *int) bool { *v = key * 10; return key%2 == 0 })
	}
	got := make(map[int]int)
	take := func(key, value int) { got[key] = value }
	if n := table.takeDirty(30, take); n != 30 || len(got) != 30 {
		t.Errorf("took %d, %d different; want 30", n, len(got))
	}
	if n := table.takeDirty(30, take); n != 20 || len(got) != 50 {
		t.Errorf("took %d, %d in all; want the other 20", n, len(got))
	}
	for key, value := range got {
		if key%2 != 0 || value != key*10 {
			t.Errorf("took %d of %d", value, key)
		}
	}
	table.unwritten(4)
	table.unwritten(1000) // not there
	if n := table.takeDirty(30, take); n != 1 {
		t.Errorf("took %d, want the one that could not be written", n)
	}
}
