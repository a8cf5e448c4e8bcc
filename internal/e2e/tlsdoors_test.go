package e2e

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// door is a listener as a TLS client comes to it.
type door struct {
	name     string
	protocol string // imap, smtp or https
	address  string
	starttls bool
	legacy   bool
}

// house is an office with a door of every kind.
type house struct {
	office
	doors []door
}

// startHouse starts a gateway with listeners of every kind, the portal included. The ordinary ones show a certificate with
// an ECDSA key and one with an RSA key. Those for old TLS are for 127.0.0.0/28.
func startHouse(t *testing.T) house {
	t.Helper()
	portal, legacySMTPS, legacyIMAP := freeAddress(t), freeAddress(t), freeAddress(t)
	o := startOffice(t, func(text string) string {
		return strings.NewReplacer(
			"providers:\n", "  - private_ca: {}\nproviders:\n",
			"policies:\n", fmt.Sprintf("  - {protocol: smtp, address: %q, tls: implicit, legacy_tls: true, networks: [127.0.0.0/28]}\n"+
				"  - {protocol: imap, address: %q, tls: starttls, legacy_tls: true, networks: [127.0.0.0/28]}\n"+
				"portal: {address: %q}\npolicies:\n", legacySMTPS, legacyIMAP, portal),
		).Replace(text)
	})
	h := house{o, []door{
		{"IMAP", "imap", o.IMAPS, false, false}, {"IMAP with STARTTLS", "imap", o.IMAP, true, false},
		{"SMTP", "smtp", o.SMTPS, false, false}, {"SMTP with STARTTLS", "smtp", o.Submission, true, false},
		{"the portal", "https", portal, false, false},
		{"SMTP for old TLS", "smtp", legacySMTPS, false, true}, {"SMTP for old TLS with STARTTLS", "smtp", o.legacy, true, true},
		{"IMAP for old TLS with STARTTLS", "imap", legacyIMAP, true, true},
	}}
	for _, d := range h.doors {
		o.listening(t, d.address)
	}
	return h
}

// with gives the doors for old TLS, or the others.
func (h house) with(legacy bool) (some []door) {
	for _, d := range h.doors {
		if d.legacy == legacy {
			some = append(some, d)
		}
	}
	return some
}

// openssl has `openssl s_client` make a TLS connection, say nothing, and leave.
func (d door) openssl(t *testing.T, arguments ...string) (out string, connected bool) {
	t.Helper()
	all := []string{"s_client", "-connect", d.address, "-servername", "localhost"}
	if d.starttls {
		all = append(all, "-starttls", d.protocol)
	}
	out, _ = command{path: need(t, "openssl"), args: append(all, arguments...)}.try(t)
	return out, strings.Contains(out, "Cipher is ") && !strings.Contains(out, "Cipher is (NONE)")
}

// dial connects from an address, up to where TLS begins.
func (d door) dial(t *testing.T, from string) (net.Conn, error) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 15 * time.Second}
	conn, err := dialer.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	if !d.starttls {
		return conn, nil
	}
	in := bufio.NewReader(conn)
	steps := [][2]string{{"", "* OK"}, {"a STARTTLS\r\n", "a OK"}}
	if d.protocol == "smtp" {
		steps = [][2]string{{"", "220 "}, {"EHLO e2e.example\r\n", "250 "}, {"STARTTLS\r\n", "220 "}}
	}
	for _, step := range steps {
		_, _ = io.WriteString(conn, step[0])
		for line := ""; !strings.HasPrefix(line, step[1]); {
			if line, err = in.ReadString('\n'); err != nil {
				return nil, fmt.Errorf("waiting for %q: %w", step[1], err)
			}
		}
	}
	return conn, nil
}

// goodbye is what a client says to have the server end the connection.
var goodbye = map[string]string{"imap": "z LOGOUT\r\n", "smtp": "QUIT\r\n", "https": "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"}

// ticket keeps a session, for whatever server.
type ticket struct{ session *tls.ClientSessionState }

func (k *ticket) Get(string) (*tls.ClientSessionState, bool) { return k.session, k.session != nil }

func (k *ticket) Put(_ string, s *tls.ClientSessionState) { k.session = cmp.Or(s, k.session) }

// resumes makes a TLS connection with a ticket, hears out what the server says, and reports whether it took the ticket.
func (d door) resumes(t *testing.T, version uint16, k *ticket) bool {
	t.Helper()
	raw, err := d.dial(t, "127.0.0.1")
	if err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	// Whose certificate it is is not the question here, and a client that asks would not offer everything everywhere.
	conn := tls.Client(raw, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: k,
		MinVersion: version, MaxVersion: version})
	if _, err := io.WriteString(conn, goodbye[d.protocol]); err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	return conn.ConnectionState().DidResume
}

// TestI34EveryDoor: below TLS 1.2 there is nothing but at the listeners for it, and these share nothing with the others
// (threat model I-34).
func TestI34EveryDoor(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	h := startHouse(t)
	t.Run("versions", h.versions)
	t.Run("cipher suites and keys", h.suites)
	t.Run("tickets", h.tickets)
	t.Run("networks", h.networks)
	t.Run("app passwords", h.markedPasswords)
	t.Run("testssl", h.testssl)
}

// versions: with each version of TLS that OpenSSL knows.
func (h house) versions(t *testing.T) {
	for _, d := range h.doors {
		for version, modern := range map[string]bool{"tls1": false, "tls1_1": false, "tls1_2": true, "tls1_3": true} {
			if out, got := d.openssl(t, "-"+version, "-cipher", "ALL:@SECLEVEL=0"); got != (modern || d.legacy) {
				t.Errorf("%s: a connection with %s is %v, want %v:\n%s", d.name, version, got, !got, out)
			}
		}
		for _, protocol := range []string{"imap", "smtp", "http/1.1"} {
			own := protocol == d.protocol || protocol == "http/1.1" && d.protocol == "https"
			if out, got := d.openssl(t, "-alpn", protocol); got != own {
				t.Errorf("%s: a connection for %s is %v, want %v:\n%s", d.name, protocol, got, !got, out)
			}
		}
	}
}

// suites: with clients that know one kind of key alone, and with those that know nothing newer than CBC and RSA key exchange.
func (h house) suites(t *testing.T) {
	for _, d := range h.doors {
		for cipher, key := range map[string]string{"ECDHE-ECDSA-AES128-GCM-SHA256": "ECDSA", "ECDHE-RSA-AES128-GCM-SHA256": "RSA"} {
			out, _ := d.openssl(t, "-tls1_2", "-cipher", cipher)
			want := !d.legacy || key == "RSA" // that of the old kind is the one of old devices
			if got := strings.Contains(out, "Peer signature type: "+key); got != want {
				t.Errorf("%s: signed with %s for a client that knows no other is %v, want %v:\n%s", d.name, key, got, want, out)
			}
		}
		old, none := []string{"AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES256-GCM-SHA384"}, []string{"NULL", "RC4", "aNULL", "DHE"}
		if d.legacy {
			for _, cipher := range old {
				if out, got := d.openssl(t, "-tls1_2", "-cipher", cipher+":@SECLEVEL=0"); !got {
					t.Errorf("%s: no connection with %s alone:\n%s", d.name, cipher, out)
				}
			}
		} else {
			none = append(none, old...)
		}
		if out, got := d.openssl(t, "-tls1_2", "-cipher", strings.Join(none, ":")+":@SECLEVEL=0"); got {
			t.Errorf("%s: connected with one of %v:\n%s", d.name, none, out)
		}
	}
}

// tickets: a session is resumed where it was begun, one of old TLS at no ordinary listener, and the other way.
func (h house) tickets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, from := range h.doors {
			k := new(ticket)
			if from.resumes(t, version, k) {
				t.Fatalf("%s resumes what was never begun", from.name)
			}
			begun := k.session
			for _, to := range append(h.with(!from.legacy), from) {
				if got := to.resumes(t, version, &ticket{begun}); got != (to == from) {
					t.Errorf("%s: a session of %s resumed by %s is %v, want %v", tls.VersionName(version), from.name, to.name, got, !got)
				}
			}
		}
	}
}

// networks: listeners for old TLS have not a byte for anybody from elsewhere.
func (h house) networks(t *testing.T) {
	for _, d := range h.doors {
		conn, err := d.dial(t, "127.0.0.99")
		if err == nil {
			err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}
		if (err != nil) != d.legacy {
			t.Errorf("%s from another network: got %v, want an error: %v", d.name, err, d.legacy)
		}
	}
}

// markedPasswords: also by IMAP, TLS below 1.2 is for app passwords that are marked for it, and the record of the session says
// which version it had.
func (h house) markedPasswords(t *testing.T) {
	const name = "alice@contoso.example"
	d := h.doors[len(h.doors)-1]
	signIn := func(password string) string {
		t.Helper()
		out, _ := command{path: need(t, "openssl"), args: []string{"s_client", "-connect", d.address, "-starttls", "imap", "-tls1_1",
			"-cipher", "ALL:@SECLEVEL=0", "-crlf", "-quiet", "-ign_eof"},
			stdin: fmt.Sprintf("b LOGIN %q %q\nc LOGOUT\n", name, password)}.try(t)
		return out
	}
	if out := signIn(h.named(t, name).Password); !strings.Contains(out, "b NO [AUTHENTICATIONFAILED]") {
		t.Errorf("an ordinary app password:\n%s", out)
	}
	if out := signIn(h.issueLegacy(t, name)); !strings.Contains(out, "b OK") {
		t.Errorf("a marked app password:\n%s", out)
	}
	if !h.audited(t, `"kind":"session-begin"`, `"protocol":"imap"`, `"tls":"TLS 1.1"`) {
		t.Error("no IMAP session with TLS 1.1 in the audit log")
	}
}
