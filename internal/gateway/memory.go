package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryCheck is how often returnMemory looks.
	memoryCheck = 5 * time.Second
	// memoryMoved is how much must have been allocated since the last collection, in bytes, for another to be worth it
	// while there is work: that of a hundred sign-ins.
	memoryMoved = 16 << 20
	// memoryRest is how little is allocated between two looks, in bytes, where there is no work; and how much must have
	// been allocated since the last collection for one at rest.
	memoryRest = 1 << 20
)

// returnMemory gives what sign-ins and transfers have left behind back to the system, until ctx ends. A gateway of idle
// sessions allocates nothing, and so its garbage collector would not run for minutes: buffers of handshakes that are
// over, and the stacks on which they ran, would stay for as long. It runs only after there was something to do, and
// costs a few milliseconds then.
func returnMemory(ctx context.Context) {
	ticker := time.NewTicker(memoryCheck)
	defer ticker.Stop()
	var collected, looked uint64 // what had been allocated then
	for {
		now := allocated() // at once, too: reading a large configuration leaves much behind
		if worthCollecting(now-collected, now-looked) {
			// Each collection halves a stack that has grown: three take one from a handshake's 16 KB to 2 KB.
			runtime.GC()
			runtime.GC()
			debug.FreeOSMemory()
			now = allocated()
			collected = now
		}
		looked = now
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// worthCollecting decides by what has been allocated since the last collection and since the last look, in bytes.
func worthCollecting(sinceCollection, sinceLook uint64) bool {
	return sinceCollection > memoryMoved || sinceCollection > memoryRest && sinceLook < memoryRest
}

// allocated gives the bytes that have ever been allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
