package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
// The reasons are lines of text, or JSON for whoever asks for that.
func (h health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	report := newReadiness(h.checks(ctx), h.notes(ctx))
	status := http.StatusOK
	if !report.Ready {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Vary", "Accept")
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(report) // an error means that the client has gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	report.write(w)
}

// readiness is an answer of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // name → ok, or the reason why not
	Notes  map[string]string `json:"notes"`  // what an administrator should know, and is no reason
	failed map[string]bool   // by the names of Checks
}

func newReadiness(checks map[string]error, notes map[string]string) readiness {
	report := readiness{Ready: true, Checks: map[string]string{}, Notes: map[string]string{}, failed: map[string]bool{}}
	maps.Copy(report.Notes, notes)
	for name, err := range checks {
		report.Checks[name] = "ok"
		if err != nil {
			report.Ready, report.failed[name], report.Checks[name] = false, true, err.Error()
		}
	}
	return report
}

// write writes a line for each check and each note.
func (r readiness) write(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(r.Checks)) {
		if r.failed[name] {
			fmt.Fprintf(w, "%s: not ready: %s\n", name, r.Checks[name])
			continue
		}
		fmt.Fprintf(w, "%s: ok\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Notes)) {
		fmt.Fprintf(w, "%s: %s\n", name, r.Notes[name])
	}
}

// wantsJSON tells whether a request names JSON among what it takes (RFC 9110, section 12.5.1). Who takes anything, as curl does,
// gets text: weights other than 0 are not compared.
func wantsJSON(r *http.Request) bool {
	for _, field := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(field, ",") {
			kind, parameters, err := mime.ParseMediaType(one)
			if err != nil || kind != "application/json" {
				continue
			}
			if weight, err := strconv.ParseFloat(parameters["q"], 64); err != nil || weight > 0 {
				return true
			}
		}
	}
	return false
}
