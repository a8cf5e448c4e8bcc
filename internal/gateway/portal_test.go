package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/store"
)

// admit listens on loopback for the networks and limits given, and gives what accepts.
func admit(t *testing.T, limits config.ConnectionLimits, networks ...netip.Prefix) (address string, accepted chan net.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &admitted{raw, newAdmission(limits, quiet, time.Now), func() []netip.Prefix { return networks }}
	accepted = make(chan net.Conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	t.Cleanup(func() {
		_ = raw.Close()
		<-done
	})
	return raw.Addr().String(), accepted
}

func dialPortal(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// hungUp waits for the other side to hang up.
func hungUp(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the connection closed", err)
	}
}

func TestPortalServesItsNetworksAlone(t *testing.T) {
	wide := config.ConnectionLimits{Connections: 10, PerSource: 10, BeforeSignIn: 10}
	address, _ := admit(t, wide, netip.MustParsePrefix("10.0.0.0/8"))
	hungUp(t, dialPortal(t, address))
	address, accepted := admit(t, wide, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"))
	dialPortal(t, address)
	_ = (<-accepted).Close()
}

// TestI29PortalKeepsToTheLimits: a connection has its place until it is closed, once; the oldest gives way.
func TestI29PortalKeepsToTheLimits(t *testing.T) {
	address, accepted := admit(t, config.ConnectionLimits{Connections: 2, PerSource: 2, BeforeSignIn: 2})
	dialPortal(t, address)
	first := <-accepted
	dialPortal(t, address)
	second := <-accepted
	hungUp(t, dialPortal(t, address)) // its source has all that one source may have
	_ = first.Close()
	_ = first.Close()
	dialPortal(t, address)
	third := <-accepted
	hungUp(t, dialPortal(t, address))
	_, _ = second.Close(), third.Close()
}

// TestPortalServerIsPatientForSoLong: each phase of a request has its limit (threat model I-28).
func TestPortalServerIsPatientForSoLong(t *testing.T) {
	s := newHTTPServer(http.NotFoundHandler(), quiet)
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes > 64<<10 || s.Protocols.HTTP2() {
		t.Errorf("got %+v", s)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &portal{listener: raw, server: s}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(quiet)
	}()
	conn := dialPortal(t, raw.Addr().String())
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !slices.Equal(answer[:12], []byte("HTTP/1.0 404")) {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
	// One that was opened and never served leaves nothing behind either.
	if raw, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := (&portal{listener: raw, server: newHTTPServer(http.NotFoundHandler(), quiet)}).close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", raw.Addr().String()); err == nil {
		t.Error("the address is still open")
	}
}

// TestI18AccountsArePersons: an enrolled account is theirs by tenant and object id, and one that is not enrolled theirs whose
// name it has.
func TestI18AccountsArePersons(t *testing.T) {
	w := newDeskWorld(t)
	accounts := portalAccounts{w.directory, w.state.Store, nil}
	alice := token.Identity{TenantID: "tid", ObjectID: "oid-alice", Username: "alice@contoso.example"}
	named := func(name string) token.Account {
		return token.Account{Provider: "contoso", Grant: token.Delegated, Name: name}
	}
	for _, test := range []struct {
		what string
		who  token.Identity
		want []string
	}{
		{"her own", alice, []string{"alice@contoso.example"}},
		{"under another name", token.Identity{TenantID: "tid", ObjectID: "oid-alice", Username: "alice.new@elsewhere.example"}, []string{"alice@contoso.example"}},
		{"under a new name that has an account to come", token.Identity{TenantID: "tid", ObjectID: "oid-alice", Username: "Alice.New@contoso.example"},
			[]string{"alice.new@contoso.example", "alice@contoso.example"}},
		{"somebody who has her name now", token.Identity{TenantID: "tid", ObjectID: "oid-eve", Username: "alice@contoso.example"}, nil},
		{"her object id in another tenant", token.Identity{TenantID: "another", ObjectID: "oid-alice", Username: "x@elsewhere.example"}, nil},
		{"somebody new of a rule", token.Identity{TenantID: "tid", ObjectID: "oid-carol", Username: "Carol@contoso.example"}, []string{"carol@contoso.example"}},
		{"somebody of no rule", token.Identity{TenantID: "tid", ObjectID: "oid-dave", Username: "dave@elsewhere.example"}, nil},
	} {
		theirs, err := accounts.of(t.Context(), "contoso", test.who)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for account, enrolment := range theirs {
			got = append(got, account.Name)
			enrolled := enrolment.Identity.ObjectID != ""
			if enrolled != (account == named("alice@contoso.example")) {
				t.Errorf("%s: account %s is enrolled: %v", test.what, account, enrolled)
			}
		}
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s: got accounts %v, want %v", test.what, got, test.want)
		}
	}
	elsewhere, err := accounts.of(t.Context(), "fabrikam", alice)
	if err != nil || len(elsewhere) != 0 {
		t.Errorf("at another provider: got %v, %v", slices.Collect(maps.Keys(elsewhere)), err)
	}
	// An account that the configuration no longer has is nobody's.
	gone := store.Account{Provider: "contoso", Name: "alice@gone.example", TenantID: "tid", ObjectID: "oid-alice", Standing: store.Standing{State: store.OK, Since: noon}}
	if err := w.state.Store.SaveEnrolment(t.Context(), gone, store.TokenCacheKey{Owner: "gone"}, nil); err != nil {
		t.Fatal(err)
	}
	theirs, err := accounts.of(t.Context(), "contoso", alice)
	if err != nil || len(theirs) != 1 {
		t.Errorf("got %v, %v; want the one that the configuration has", slices.Collect(maps.Keys(theirs)), err)
	}
}

func TestPortalProviders(t *testing.T) {
	got := portalProviders(&config.Config{Providers: map[string]*config.Provider{
		"b": {Tenant: "b.example", AuthenticationContexts: map[string]string{"c2": config.Asserted, "c1": config.Asserted}}, "a": {Tenant: "a.example"},
	}})
	if len(got) != 2 || got[0].Name != "a" || got[1].Tenant != "b.example" || !slices.Equal(got[1].Contexts, []string{"c1", "c2"}) {
		t.Errorf("got %+v", got)
	}
}
