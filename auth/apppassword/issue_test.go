package apppassword

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/secret"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestIssue(t *testing.T) {
	store, hasher := &memory{}, &hasher{keys: []string{"k"}}
	for _, short := range []bool{false, true} {
		asked := request()
		asked.Short = short
		record, password := issue(t, store, hasher, asked)
		groups := 6
		if short {
			groups = 4
		}
		form := fmt.Sprintf(`^[%s]{4}(-[%s]{4}){%d}$`, alphabet, alphabet, groups-1)
		if !regexp.MustCompile(form).MatchString(password.Reveal()) {
			t.Errorf("short %v: got %q, want %d groups of four", short, password.Reveal(), groups)
		}
		want := Record{
			Login: "copier-3", Label: asked.Label, Protocols: asked.Protocols, Networks: asked.Networks,
			Created: now, Expires: asked.Expires, Evidence: asked.Evidence, HashKey: crc32.ChecksumIEEE([]byte("k")),
		}
		if diff := cmp.Diff(want, record, cmpopts.IgnoreFields(Record{}, "ID"), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("short %v: record (-want +got):\n%s", short, diff)
		}
		if !regexp.MustCompile(`^[a-z0-9]{10}$`).MatchString(record.ID) {
			t.Errorf("got ID %q, want ten letters and digits", record.ID)
		}
	}
	if len(store.byHash) != 2 {
		t.Errorf("got %d records, want 2", len(store.byHash))
	}
	for hash, record := range store.byHash {
		if len(hash) != 32 || strings.Contains(fmt.Sprintf("%+v", record), hash) {
			t.Errorf("got hash %x for %+v", hash, record)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"no login":             {func(r *Request) { r.Login = "" }, "login is empty"},
		"login with CR":        {func(r *Request) { r.Login = "a\rb" }, "cannot be printed"},
		"login not UTF-8":      {func(r *Request) { r.Login = "a\xff" }, "cannot be printed"},
		"no label":             {func(r *Request) { r.Label = "  " }, "no label"},
		"long label":           {func(r *Request) { r.Label = strings.Repeat("ä", 101) }, "more than 100 characters"},
		"label with an escape": {func(r *Request) { r.Label = "a\x1b[31m" }, "cannot be printed"},
		"no protocol":          {func(r *Request) { r.Protocols = nil }, "no protocol"},
		"empty protocol":       {func(r *Request) { r.Protocols = []string{"imap", ""} }, "no protocol"},
		"expired":              {func(r *Request) { r.Expires = now }, "expired already"},
		"no evidence":          {func(r *Request) { r.Evidence = Evidence{} }, "no evidence"},
		"nobody's evidence":    {func(r *Request) { r.Evidence.By = "" }, "no evidence"},
		"evidence to come":     {func(r *Request) { r.Evidence.At = now.Add(time.Second) }, "from the future"},
	} {
		t.Run(name, func(t *testing.T) {
			store, r := &memory{}, request()
			test.change(&r)
			record, password, err := Issue(context.Background(), store, &hasher{keys: []string{"k"}}, r, now, rand.Reader, unrecorded)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if record.ID != "" || !password.IsZero() || len(store.byHash) != 0 {
				t.Error("it was issued all the same")
			}
		})
	}
	longest := request()
	longest.Label = strings.Repeat("ä", 100)
	issue(t, &memory{}, &hasher{keys: []string{"k"}}, longest)
}

func TestIssueFailsWithItsParts(t *testing.T) {
	broken := &memory{fail: errors.New("disk full")}
	_, password, err := Issue(context.Background(), broken, &hasher{keys: []string{"k"}}, request(), now, rand.Reader, unrecorded)
	if !errors.Is(err, broken.fail) || !password.IsZero() {
		t.Errorf("a store that fails: got %v, %v", password, err)
	}
	for _, n := range []int{0, 64} { // none for the id; none for the password
		random := bytes.NewReader(make([]byte, n))
		if _, password, err := Issue(context.Background(), &memory{}, &hasher{keys: []string{"k"}}, request(), now, random, unrecorded); err == nil || !password.IsZero() {
			t.Errorf("%d random bytes: got %v, %v", n, password, err)
		}
	}
}

func TestIssueRecordsBeforeItActs(t *testing.T) {
	store := &memory{}
	var recorded Record
	record := func(r Record) error {
		recorded = r
		if len(store.byHash) != 0 {
			t.Error("it was issued before it was recorded")
		}
		return nil
	}
	issued, _, err := Issue(context.Background(), store, &hasher{keys: []string{"k"}}, request(), now, rand.Reader, record)
	if err != nil || recorded.ID == "" || recorded.ID != issued.ID {
		t.Errorf("recorded %q and issued %q (%v), want the same", recorded.ID, issued.ID, err)
	}

	store, full := &memory{}, errors.New("disk full")
	record = func(Record) error { return full }
	_, password, err := Issue(context.Background(), store, &hasher{keys: []string{"k"}}, request(), now, rand.Reader, record)
	if !errors.Is(err, full) || !password.IsZero() || len(store.byHash) != 0 {
		t.Errorf("a log that cannot be written: got %v, %v and %d records, want no password", password, err, len(store.byHash))
	}
}

func TestIssuedPasswordsDiffer(t *testing.T) {
	store, hasher := &memory{}, &hasher{keys: []string{"k"}}
	seen := map[string]bool{}
	for range 100 {
		record, password := issue(t, store, hasher, request())
		if seen[record.ID] || seen[password.Reveal()] {
			t.Fatal("an ID or a password came twice")
		}
		seen[record.ID], seen[password.Reveal()] = true, true
	}
}

// secretsOf gives the forms in which a password could show itself.
func secretsOf(password secret.Text) []string {
	plain := normalize(password).Reveal()
	return []string{password.Reveal(), plain, fmt.Sprintf("%x", plain)}
}
