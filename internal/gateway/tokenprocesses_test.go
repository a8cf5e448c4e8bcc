package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// relative is a process of this test: it runs the test of the same name, which finds its configuration by childConfig.
type relative struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

// spawn starts a child and waits until it is ready. It is dead when the test has ended.
func spawn(t *testing.T, c *config.Config) *relative {
	t.Helper()
	r := &relative{t: t, cmd: exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")}
	r.cmd.Env = append(os.Environ(), "POSTERN_TEST_CHILD="+filepath.Dir(c.KeysFile)+"\n"+c.Providers["contoso"].Endpoints.Authority)
	r.cmd.Stderr = os.Stderr
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	r.in, r.lines = in, bufio.NewScanner(out)
	r.next("ready")
	return r
}

// kill ends the child as a power cut would, and waits for that.
func (r *relative) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// goAhead lets a child that waits go on.
func (r *relative) goAhead() {
	r.t.Helper()
	if _, err := fmt.Fprintln(r.in); err != nil {
		r.t.Fatal(err)
	}
}

// next waits for a line of the child that begins with a word, and gives the rest of it.
func (r *relative) next(word string) string {
	r.t.Helper()
	for r.lines.Scan() {
		if rest, ok := strings.CutPrefix(r.lines.Text(), word); ok {
			return strings.TrimSpace(rest)
		}
	}
	r.t.Fatalf("the child ended before it said %q", word)
	return ""
}

// childConfig gives the configuration in a child; nil in the parent.
func childConfig() *config.Config {
	folder, authority, ok := strings.Cut(os.Getenv("POSTERN_TEST_CHILD"), "\n")
	if !ok {
		return nil
	}
	return configIn(folder, authority)
}

// ready says that a child is, and waits for its parent's word.
func ready() {
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// fingerprint stands for a token where it may be seen.
func fingerprint(token secret.Text) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(token.Reveal())))
}

// TestI20ProcessesAskOnce: of gateways that share a store and want a token at the same moment, one asks, and all have its
// answer.
func TestI20ProcessesAskOnce(t *testing.T) {
	if c := childConfig(); c != nil {
		_, source := open(t, c, nil)
		ready()
		got, err := use(t.Context(), source, person(alice))
		fmt.Println("token", fingerprint(got), err)
		return
	}
	b := newBureau(t, 0)
	state, source := open(t, b.config, nil)
	spend(t, state, b.enroll(source, alice))
	children := []*relative{spawn(t, b.config), spawn(t, b.config), spawn(t, b.config)}
	b.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Delay: time.Second})
	before := b.entra.TokenRequests()
	for _, c := range children {
		c.goAhead()
	}
	answers := make(map[string]bool)
	for _, c := range children {
		answers[c.next("token")] = true
	}
	if len(answers) != 1 {
		t.Errorf("got answers %v, want the same one for all", answers)
	}
	for answer := range answers {
		if !strings.HasSuffix(answer, " <nil>") {
			t.Errorf("got %s, want a token", answer)
		}
	}
	if n := b.entra.TokenRequests() - before; n != 1 {
		t.Errorf("got %d token requests, want one", n)
	}
}

// reluctantStore stops before or after it has saved a cache, and says so.
type reluctantStore struct {
	token.Store
	after bool
}

func (s reluctantStore) SaveCache(ctx context.Context, key token.CacheKey, content []byte) error {
	if s.after {
		if err := s.Store.SaveCache(ctx, key, content); err != nil {
			return err
		}
	}
	fmt.Println("answered")
	select {} // until it is killed
}

// TestI22KilledAroundTheSaving: a gateway that is killed between Entra's answer and its saving leaves the refresh token that
// was there, and it still works; one that is killed behind it has left the new one, with the access token that came along.
func TestI22KilledAroundTheSaving(t *testing.T) {
	if c := childConfig(); c != nil {
		_, source := open(t, c, func(s token.Store) token.Store { return reluctantStore{s, os.Getenv("POSTERN_TEST_AFTER") != ""} })
		ready()
		_, _ = use(t.Context(), source, person(alice))
		return
	}
	for name, test := range map[string]struct {
		after string
		want  int64 // requests of the one that comes next
	}{"before it": {"", 1}, "behind it": {"yes", 0}} {
		t.Setenv("POSTERN_TEST_AFTER", test.after)
		b := newBureau(t, 0)
		state, source := open(t, b.config, nil)
		spend(t, state, b.enroll(source, alice))
		killed := spawn(t, b.config)
		killed.goAhead()
		killed.next("answered")
		killed.kill()

		before := b.entra.TokenRequests()
		_, next := open(t, b.config, nil)
		if _, err := use(t.Context(), next, person(alice)); err != nil {
			t.Errorf("killed %s: %v", name, err)
		}
		if n := b.entra.TokenRequests() - before; n != test.want {
			t.Errorf("killed %s: got %d token requests, want %d", name, n, test.want)
		}
		spend(t, state, identityOf(t, state, alice))
		_, last := open(t, b.config, nil)
		if _, err := use(t.Context(), last, person(alice)); err != nil {
			t.Errorf("killed %s, and a token later: %v", name, err)
		}
	}
}

// identityOf gives who is enrolled for an account.
func identityOf(t *testing.T, state *State, upn string) token.Identity {
	t.Helper()
	enrolment, err := tokenStore{state.Store}.Enrolment(t.Context(), person(upn))
	if err != nil {
		t.Fatal(err)
	}
	return enrolment.Identity
}
