package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// readyTime bounds the checks of one look at /readyz.
const readyTime = 5 * time.Second

// health answers whether the gateway lives and is ready.
type health struct {
	checks func(context.Context) map[string]error
	notes  func(context.Context) map[string]string
}

// live answers 200 for as long as the process can answer at all: a supervisor restarts what does not.
func (h health) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// ready answers 200 when clients can be served, and 503 with the reasons when not: a load balancer sends them elsewhere.
func (h health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	checks := h.checks(ctx)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, err := range checks {
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[name]; err != nil {
			fmt.Fprintf(w, "%s: not ready: %v\n", name, err)
			continue
		}
		fmt.Fprintf(w, "%s: ok\n", name)
	}
	notes := h.notes(ctx)
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		fmt.Fprintf(w, "%s: %s\n", name, notes[name])
	}
}
