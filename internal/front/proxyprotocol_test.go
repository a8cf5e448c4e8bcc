package front

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// proxyV2 makes a header of version 2.
func proxyV2(command proxyproto.ProtocolVersionAndCommand, source string) string {
	from, to := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)), &net.TCPAddr{IP: net.ParseIP("192.0.2.9"), Port: 993}
	if from.IP.To4() == nil {
		to.IP = net.ParseIP("2001:db8::9")
	}
	header := proxyproto.HeaderProxyFromAddrs(2, from, to)
	header.Command = command
	text, err := header.Format()
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestI36ProxyHeaders(t *testing.T) {
	good := proxyV2(proxyproto.PROXY, "198.51.100.7:50000")
	for name, test := range map[string]struct {
		text string
		want string // the client; "own" for the peer's; empty for an error
	}{
		"version 1":                   {"PROXY TCP4 198.51.100.7 192.0.2.9 50000 993\r\n", "198.51.100.7:50000"},
		"version 1, IPv6":             {"PROXY TCP6 2001:db8::7 2001:db8::9 50000 993\r\n", "[2001:db8::7]:50000"},
		"version 1, unknown":          {"PROXY UNKNOWN\r\n", "own"},
		"version 2":                   {good, "198.51.100.7:50000"},
		"version 2, IPv6":             {proxyV2(proxyproto.PROXY, "[2001:db8::7]:50000"), "[2001:db8::7]:50000"},
		"version 2, a health check":   {proxyV2(proxyproto.LOCAL, "198.51.100.7:50000"), "own"},
		"none":                        {"EHLO client.example\r\n", ""},
		"nothing":                     {"", ""},
		"cut off":                     {"PROXY TCP4 198.51.100.7", ""},
		"cut off, version 2":          {good[:20], ""},
		"too long":                    {"PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", ""},
		"too long, version 2":         {good[:14] + "\xff\xff" + strings.Repeat("x", 70000), ""},
		"no address":                  {"PROXY TCP4 localhost 192.0.2.9 50000 993\r\n", ""},
		"a bad port":                  {"PROXY TCP4 198.51.100.7 192.0.2.9 99999 993\r\n", ""},
		"another version":             {good[:12] + "\x31" + good[13:], ""},
		"a socket of the file system": {good[:13] + "\x31" + "\x00\xd8" + strings.Repeat("x", 216), ""},
		"ended by LF":                 {"PROXY TCP4 198.51.100.7 192.0.2.9 50000 993\n" + strings.Repeat("x", 100), ""},
	} {
		t.Run(name, func(t *testing.T) {
			rest := strings.NewReader(test.text + "what follows")
			if test.want == "" {
				rest = strings.NewReader(test.text)
			}
			got, err := readProxyHeader(rest)
			switch {
			case test.want == "" && err == nil:
				t.Fatalf("got %s, want an error", got)
			case test.want == "":
				return
			case err != nil:
				t.Fatal(err)
			case test.want == "own" && got.IsValid(), test.want != "own" && got.String() != test.want:
				t.Errorf("got %s, want %s", got, test.want)
			}
			if left, _ := io.ReadAll(rest); string(left) != "what follows" {
				t.Errorf("left is %q, want all that follows the header", left)
			}
		})
	}
}

// FuzzProxyHeader: whatever comes, a bounded part of it is read, and what is taken for a client's address is one.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{"PROXY TCP4 198.51.100.7 192.0.2.9 50000 993\r\nA", "PROXY UNKNOWN\r\n", "EHLO a\r\n",
		proxyV2(proxyproto.PROXY, "198.51.100.7:50000"), proxyV2(proxyproto.LOCAL, "[2001:db8::7]:50000")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rest := bytes.NewReader(text)
		client, err := readProxyHeader(rest)
		if took := len(text) - rest.Len(); took > len(proxyproto.SIGV2)+4+maxProxyBlock {
			t.Errorf("took %d bytes", took)
		}
		if err == nil && client.IsValid() && client.Addr().IsUnspecified() {
			t.Errorf("got the client %s", client)
		}
	})
}
