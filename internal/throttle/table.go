package throttle

import (
	"hash/maphash"
	"sync"
)

// shards is how many parts a table has, each with a lock of its own that is held for a few look-ups.
const shards = 32

// table is a map of bounded size: when it is full, the entry that was not touched for longest makes room. It knows which
// entries are to be written. It is safe for concurrent use.
type table[K comparable, V any] struct {
	seed  maphash.Seed
	parts [shards]part[K, V]
	next  int // the part with which the next takeDirty begins; guarded by the caller, who is alone
}

// part is one shard of a table.
type part[K comparable, V any] struct {
	mu      sync.Mutex
	limit   int
	entries map[K]*entry[K, V]
	newest  *entry[K, V]
	oldest  *entry[K, V]
	dirty   map[K]struct{} // changed since they were last written
}

// entry is a link of the chain from the newest to the oldest.
type entry[K comparable, V any] struct {
	key          K
	value        V
	newer, older *entry[K, V]
}

func newTable[K comparable, V any](limit int) *table[K, V] {
	t := &table[K, V]{seed: maphash.MakeSeed()}
	for i := range t.parts {
		t.parts[i] = part[K, V]{limit: max(1, limit/shards), entries: make(map[K]*entry[K, V]), dirty: make(map[K]struct{})}
	}
	return t
}

func (t *table[K, V]) part(key K) *part[K, V] {
	return &t.parts[maphash.Comparable(t.seed, key)%shards]
}

// look calls do with the value of a key if there is one, which counts as a touch.
func (t *table[K, V]) look(key K, do func(*V)) {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[key]; e != nil {
		p.touch(e)
		do(&e.value)
	}
}

// change calls do with the value of a key, a zero one if there was none. do reports whether the change has to be written.
func (t *table[K, V]) change(key K, do func(*V) (write bool)) {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[key]
	if e == nil {
		e = p.add(key)
	}
	p.touch(e)
	if do(&e.value) {
		p.dirty[key] = struct{}{}
	}
}

// takeDirty gives up to limit entries that have to be written, and takes them for written. One caller at a time.
func (t *table[K, V]) takeDirty(limit int, take func(K, V)) (taken int) {
	for range shards {
		p := &t.parts[t.next]
		taken += p.takeDirty(limit-taken, take)
		if taken >= limit {
			return taken
		}
		t.next = (t.next + 1) % shards
	}
	return taken
}

func (p *part[K, V]) takeDirty(limit int, take func(K, V)) (taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.dirty {
		if taken >= limit {
			break
		}
		delete(p.dirty, key)
		take(key, p.entries[key].value)
		taken++
	}
	return taken
}

// unwritten marks the entry of a key, if there is one, as to be written once more.
func (t *table[K, V]) unwritten(key K) {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[key] != nil {
		p.dirty[key] = struct{}{}
	}
}

// add makes an entry, and room for it. The caller holds the lock.
func (p *part[K, V]) add(key K) *entry[K, V] {
	if len(p.entries) >= p.limit {
		gone := p.oldest
		p.unlink(gone)
		delete(p.entries, gone.key)
		delete(p.dirty, gone.key)
	}
	e := &entry[K, V]{key: key}
	p.entries[key] = e
	p.link(e)
	return e
}

func (p *part[K, V]) touch(e *entry[K, V]) {
	if p.newest != e {
		p.unlink(e)
		p.link(e)
	}
}

func (p *part[K, V]) link(e *entry[K, V]) {
	e.older, e.newer = p.newest, nil
	if p.newest != nil {
		p.newest.newer = e
	}
	p.newest = e
	if p.oldest == nil {
		p.oldest = e
	}
}

func (p *part[K, V]) unlink(e *entry[K, V]) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		p.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		p.oldest = e.newer
	}
}
