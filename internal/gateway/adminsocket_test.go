package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/audit"
	"postern/internal/handover"
	"postern/internal/session"
)

// office is an admin socket with the register and the audit log behind it, and a client in front of it.
type office struct {
	*Running
	t        *testing.T
	path     string
	sessions *session.Register
	audit    *recorder
	cut      map[string]string // id → cause
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, path: filepath.Join(t.TempDir(), "s"), sessions: &session.Register{}, audit: &recorder{}, cut: map[string]string{}}
	o.Running = Reach(o.path)
	o.serve()
	for i, info := range []session.Info{
		{ID: "one", Protocol: "imap", Login: "alice", Mailbox: "alice@contoso.example", Account: "alice at contoso", Password: "p1"},
		{ID: "two", Protocol: "smtp", Login: "alice"},
		{ID: "three", Protocol: "smtp", Login: "copier-3"},
	} {
		info.Remote, info.Started = netip.MustParseAddrPort("192.0.2.1:1234"), noon.Add(time.Duration(i)*time.Minute)
		if _, err := o.sessions.Add(session.Limits{}, info, func(cause string) { o.cut[info.ID] = cause }); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// serve opens the socket and serves it until the end of the test, or until the function it gives is called.
func (o *office) serve() (closeIt func()) {
	o.t.Helper()
	a, serve, err := startAdmin(new(handover.Sockets), o.path, o.sessions, o.audit, nil, quiet)
	if err != nil {
		o.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve()
	}()
	closeIt = func() {
		a.close()
		<-served
	}
	o.t.Cleanup(closeIt)
	return closeIt
}

func TestSessionsAreListed(t *testing.T) {
	o := newOffice(t)
	got, err := o.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("got %d sessions, want 3", len(got))
	}
	want := Session{ID: "one", Protocol: "imap", Login: "alice", Mailbox: "alice@contoso.example", Account: "alice at contoso", Password: "p1",
		Remote: "192.0.2.1:1234", Since: noon}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("the oldest session (-want +got):\n%s", diff)
	}
}

func TestI43SessionsAreCutOnceItIsRecorded(t *testing.T) {
	me := userName(uint32(os.Geteuid()))
	for _, test := range []struct {
		order Cut
		what  string
		login string // of all that are cut
		cut   []string
	}{
		{Cut{ID: "two"}, "session two", "alice", []string{"two"}},
		{Cut{Login: "alice"}, "login alice", "alice", []string{"one", "two"}},
		{Cut{Login: "nobody"}, "login nobody", "", nil},
		{Cut{All: true}, "all", "", []string{"one", "two", "three"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			o := newOffice(t)
			o.audit.broken = errors.New("disk full")
			if _, err := o.Cut(t.Context(), test.order); err == nil || !strings.Contains(err.Error(), "nothing was done") || len(o.cut) > 0 {
				t.Fatalf("without an audit log: got %v, %v; want an error and nothing cut", err, o.cut)
			}
			o.audit.broken = nil
			count, err := o.Cut(t.Context(), test.order)
			if err != nil || count != len(test.cut) || len(o.cut) != len(test.cut) {
				t.Fatalf("got %d, %v, %v; want %v", count, err, o.cut, test.cut)
			}
			for _, id := range test.cut {
				if o.cut[id] != causeKilled {
					t.Errorf("session %s: cause %q, want %q", id, o.cut[id], causeKilled)
				}
			}
			want := []audit.Event{audit.SessionsCut{What: test.what, Login: test.login, Count: len(test.cut), By: me}}
			if diff := cmp.Diff(want, o.audit.events); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrdersThatMakeNoSenseDoNothing(t *testing.T) {
	o := newOffice(t)
	for want, order := range map[string]any{
		`there is no session "four"`: Cut{ID: "four"},
		"name one of":                Cut{},
		"name one of a":              Cut{ID: "one", All: true},
		"name one of a session's":    Cut{Login: "alice", ID: "one"},
		"unknown field":              map[string]string{"id": "one", "user": "alice"},
		"order: ":                    "all",
		"too large":                  map[string]string{"id": strings.Repeat("x", maxAdminRequest)},
	} {
		var answer struct{}
		if err := o.ask(t.Context(), http.MethodPost, "/sessions/cut", order, &answer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if len(o.cut) > 0 || len(o.audit.events) > 0 {
		t.Errorf("cut %v, recorded %v; want nothing", o.cut, o.audit.events)
	}
}

func TestNobodyElseMayUseTheSocket(t *testing.T) {
	o := newOffice(t)
	info, err := os.Lstat(o.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o600 {
		t.Errorf("mode %v, want a socket with 0600", got)
	}
	// The handler, as a peer would see it whom the kernel does not name.
	a := &adminSocket{log: quiet, sessions: o.sessions}
	answer := &refused{header: http.Header{}}
	a.trusted(http.HandlerFunc(a.list)).ServeHTTP(answer, (&http.Request{}).WithContext(t.Context()))
	if answer.status != http.StatusForbidden {
		t.Errorf("got status %d, want 403", answer.status)
	}
}

// refused is the answer to a request.
type refused struct {
	header http.Header
	status int
}

func (r *refused) Header() http.Header         { return r.header }
func (r *refused) Write(p []byte) (int, error) { return len(p), nil }
func (r *refused) WriteHeader(status int)      { r.status = status }

func TestSocketOfADeadGatewayIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as if it had been killed
	_ = l.Close()
	if _, err := Reach(path).Sessions(t.Context()); err == nil || !strings.Contains(err.Error(), "no gateway runs") {
		t.Errorf("got %v, want that no gateway runs", err)
	}
	o := &office{t: t, path: path, sessions: &session.Register{}, audit: &recorder{}}
	o.serve()
	if _, err := Reach(path).Sessions(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSocketOfALiveGatewayIsLeftAlone(t *testing.T) {
	o := newOffice(t)
	if _, _, err := startAdmin(new(handover.Sockets), o.path, o.sessions, o.audit, nil, quiet); !errors.Is(err, errSocketTaken) {
		t.Errorf("got %v, want that it is taken", err)
	}
	if _, err := o.Sessions(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := startAdmin(new(handover.Sockets), path, &session.Register{}, &recorder{}, nil, quiet); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("got %v, want that it is not a socket", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file is %q, %v", content, err)
	}
}

// A gateway that stops takes its own socket away, and not that of the one that came after it.
func TestStopRemovesItsOwnSocketOnly(t *testing.T) {
	o := &office{t: t, path: filepath.Join(t.TempDir(), "s"), sessions: &session.Register{}, audit: &recorder{}}
	stopFirst := o.serve()
	if err := os.Rename(o.path, o.path+".old"); err != nil { // keeps its inode from being used again
		t.Fatal(err)
	}
	stopSecond := o.serve()
	stopFirst()
	if _, err := Reach(o.path).Sessions(t.Context()); err != nil {
		t.Errorf("the second gateway cannot be reached any more: %v", err)
	}
	stopSecond()
	if _, err := os.Lstat(o.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestNoGatewayRuns(t *testing.T) {
	_, err := Reach(filepath.Join(t.TempDir(), "s")).Cut(t.Context(), Cut{All: true})
	if err == nil || !strings.Contains(err.Error(), "no gateway runs with this configuration") {
		t.Errorf("got %v", err)
	}
}
