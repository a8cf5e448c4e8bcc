package acme

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postern/certs"
)

// pebbleProgram builds the test authority of Let's Encrypt. Its module is apart, so that what it needs is not the product's.
var pebbleProgram = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "postern-pebble-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "pebble")
	build := exec.Command("go", "build", "-o", path, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = "testdata/pebble"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := pebbleProgram(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// macKey is of the account kid-1 that a pebble knows which wants one.
var macKey = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))

// pebble is an authority that looks for names at this machine.
type pebble struct {
	directory string
	roots     *x509.CertPool
	listen    string // where it looks
	names     *nameServer
}

// startPebble starts an authority whose certificates are valid for a time, and which wants known accounts or not.
func startPebble(t *testing.T, validity time.Duration, external bool) *pebble {
	t.Helper()
	program, err := pebbleProgram()
	if err != nil && os.Getenv("POSTERN_TEST_TOOLS") != "require" {
		t.Skip("pebble cannot be built:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	authority, err := certs.NewAuthority("pebble's own")
	if err != nil {
		t.Fatal(err)
	}
	_, certPEM, keyPEM, err := authority.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p := &pebble{roots: authority.Roots(), listen: freeAddress(t), names: startNameServer(t)}
	address, management, folder := freeAddress(t), freeAddress(t), t.TempDir()
	p.directory = "https://" + address + "/dir"
	_, port, _ := net.SplitHostPort(p.listen)
	settings := map[string]any{
		"listenAddress": address, "managementListenAddress": management, "certificate": "cert.pem", "privateKey": "key.pem",
		"httpPort": json.Number(port), "tlsPort": json.Number(port), "externalAccountBindingRequired": external,
		"externalAccountMACKeys": map[string]string{"kid-1": macKey}, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":     map[string]any{"default": map[string]any{"description": "default", "validityPeriod": int(validity.Seconds())}},
		"keyAlgorithm": "ecdsa",
	}
	content, err := json.Marshal(map[string]any{"pebble": settings})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM, "config.json": content} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command(program, "-config", "config.json", "-dnsserver", p.names.address, "-strict")
	run.Dir, run.Env = folder, append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
	said := &bytes.Buffer{}
	run.Stdout, run.Stderr = said, said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
		if t.Failed() {
			t.Logf("pebble said:\n%s", said)
		}
	})
	client := http.Client{Transport: &http.Transport{TLSClientConfig: certs.UpstreamTLS("127.0.0.1", p.roots), DisableKeepAlives: true}}
	eventually(t, "pebble answers", func() bool {
		answer, err := client.Get(p.directory)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually waits until something is so, for a minute.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-again.C:
		}
	}
}

// nameServer is a DNS in which every name is this machine, and which takes updates of TXT records.
type nameServer struct {
	address string
	key     string // of TSIG, named postern; in base64

	mu  sync.Mutex
	txt map[string][]string // name → values
	was []string            // names that ever had one
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{address: listener.Addr().String(), key: base64.StdEncoding.EncodeToString([]byte("tsig-key-of-32-bytes-for-the-test")), txt: make(map[string][]string)}
	secrets := map[string]string{"postern.": n.key}
	for _, server := range []*dns.Server{
		{Listener: listener, Handler: n, TsigSecret: secrets, MsgAcceptFunc: acceptUpdates},
		{PacketConn: packets, Handler: n, TsigSecret: secrets},
	} {
		go func() { _ = server.ActivateAndServe() }()
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return n
}

func acceptUpdates(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }

// ServeDNS is of [dns.Handler].
func (n *nameServer) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := new(dns.Msg)
	answer.SetReply(m)
	switch {
	case m.Opcode == dns.OpcodeUpdate && (m.IsTsig() == nil || w.TsigStatus() != nil):
		answer.Rcode = dns.RcodeRefused
	case m.Opcode == dns.OpcodeUpdate:
		for _, rr := range m.Ns {
			if txt, ok := rr.(*dns.TXT); ok {
				n.change(txt.Hdr.Name, txt.Txt[0], txt.Hdr.Class == dns.ClassINET)
			}
		}
		answer.SetTsig("postern.", dns.HmacSHA256, tsigFudge, time.Now().Unix())
	case m.Question[0].Qtype == dns.TypeA:
		answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
	case m.Question[0].Qtype == dns.TypeTXT:
		for _, value := range n.txt[strings.ToLower(m.Question[0].Name)] {
			answer.Answer = append(answer.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value}})
		}
	}
	_ = w.WriteMsg(answer)
}

// change adds or removes a record; mu is held.
func (n *nameServer) change(name, value string, add bool) {
	name = strings.ToLower(dns.Fqdn(name))
	if add {
		n.txt[name] = append(n.txt[name], value)
		n.was = append(n.was, name)
		return
	}
	n.txt[name] = slices.DeleteFunc(n.txt[name], func(v string) bool { return v == value })
}

// records gives how many records there are, and how many there ever were.
func (n *nameServer) records() (now, ever int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, values := range n.txt {
		now += len(values)
	}
	return now, len(n.was)
}

// memory is a vault in memory.
type memory struct {
	mu    sync.Mutex
	items map[string][]byte
	locks map[string]*sync.Mutex
}

func newMemory() *memory {
	return &memory{items: make(map[string][]byte), locks: make(map[string]*sync.Mutex)}
}

func (m *memory) Load(_ context.Context, name string) (certs.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, found := m.items[name]
	if !found {
		return certs.Item{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return certs.Item{Name: name, Content: bytes.Clone(content)}, nil
}

func (m *memory) Store(_ context.Context, name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[name] = bytes.Clone(content)
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for item := range m.items {
		if item == name || strings.HasPrefix(item, name+"/") {
			delete(m.items, item)
		}
	}
	return nil
}

func (m *memory) List(_ context.Context, name string) (items []certs.Item, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for item := range m.items {
		if item == name || strings.HasPrefix(item, name+"/") {
			items = append(items, certs.Item{Name: item, Modified: time.Now()})
		}
	}
	slices.SortFunc(items, func(a, b certs.Item) int { return strings.Compare(a.Name, b.Name) })
	return items, nil
}

func (m *memory) Lock(_ context.Context, name string) (func(), error) {
	m.mu.Lock()
	lock := m.locks[name]
	if lock == nil {
		lock = new(sync.Mutex)
		m.locks[name] = lock
	}
	m.mu.Unlock()
	lock.Lock()
	return lock.Unlock, nil
}
