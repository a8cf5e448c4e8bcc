package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestI13DovecotAnswersTheSameThroughPostern plays every dialogue twice, straight at a Dovecot and through Postern, each
// time in a mailbox of its own.
func TestI13DovecotAnswersTheSameThroughPostern(t *testing.T) {
	t.Parallel()
	w := overDovecot(t)
	straight, postern := w.sides(t)
	offered := afterSignIn(t, straight)
	for _, d := range append(slices.Concat(rfcDialogues, extensionDialogues), bigBatch()) {
		t.Run(d.name, func(t *testing.T) {
			if d.needs != "" && !slices.Contains(offered, d.needs) {
				missing(t, "this Dovecot does not offer "+d.needs)
			}
			w.dovecot.empty()
			d.compare(t, straight, postern, w.dovecot.empty)
		})
	}
	t.Run("bulk", func(t *testing.T) {
		w.dovecot.empty()
		bulk(t, postern)
	})
	t.Run("capabilities", func(t *testing.T) {
		if !slices.Contains(offered, "COMPRESS=DEFLATE") {
			t.Fatalf("Dovecot offers %q, want COMPRESS=DEFLATE among it so that there is something to leave out", offered)
		}
		want := slices.DeleteFunc(slices.Clone(offered), notOffered)
		if got := afterSignIn(t, postern); !slices.Equal(got, want) {
			t.Errorf("got capabilities\n%q\nwant\n%q", got, want)
		}
	})
}

// namesCapabilities is the list of capabilities in a response to a sign-in.
var namesCapabilities = regexp.MustCompile(`\[CAPABILITY ([^]]*)\]`)

// afterSignIn gives the capabilities that a server lists when it has let a client in.
func afterSignIn(t *testing.T, s side) []string {
	t.Helper()
	_, responses := s(t)
	found := namesCapabilities.FindStringSubmatch(strings.Join(responses, ""))
	if found == nil {
		t.Fatalf("got %q, want a list of capabilities", responses)
	}
	return strings.Fields(found[1])
}
