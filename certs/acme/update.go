package acme

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"postern/internal/secret"
)

const (
	// recordLife is the TTL of a record, in seconds: it is there for minutes.
	recordLife = 60
	// visibleTime bounds the wait for a record, and visiblePause is between two looks.
	visibleTime  = 2 * time.Minute
	visiblePause = time.Second
	// tsigFudge is how far clocks may be apart, in seconds (RFC 8945 section 10 recommends it).
	tsigFudge = 300
)

// Update puts records into the DNS by dynamic updates (RFC 2136), signed with TSIG (RFC 8945).
type Update struct {
	Server      string // of the zone's primary, host:port
	Zone        string // such as contoso.com
	KeyName     string
	Key         secret.Text   // in base64
	Propagation time.Duration // how long other servers of the zone take, beyond the primary
}

// Present is of [DNS].
func (u Update) Present(ctx context.Context, name, value string) error {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(u.Zone))
	m.Insert([]dns.RR{u.record(name, value)})
	return u.send(ctx, m)
}

// Wait is of [DNS]: until the primary shows the record, and Propagation longer.
func (u Update) Wait(ctx context.Context, name, value string) error {
	limited, cancel := context.WithTimeout(ctx, visibleTime)
	defer cancel()
	for {
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
		client := dns.Client{Net: "tcp"}
		answer, _, err := client.ExchangeContext(limited, m, u.Server)
		if err == nil && shows(answer, value) {
			return pause(ctx, u.Propagation)
		}
		if pause(limited, visiblePause) != nil {
			return fmt.Errorf("%s does not show the TXT record of %s: %w", u.Server, name, errors.Join(err, ctx.Err()))
		}
	}
}

func shows(answer *dns.Msg, value string) bool {
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok && len(txt.Txt) == 1 && txt.Txt[0] == value {
			return true
		}
	}
	return false
}

// CleanUp is of [DNS].
func (u Update) CleanUp(ctx context.Context, name, value string) error {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(u.Zone))
	m.Remove([]dns.RR{u.record(name, value)})
	return u.send(ctx, m)
}

func (u Update) record(name, value string) *dns.TXT {
	return &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: recordLife}, Txt: []string{value}}
}

func (u Update) send(ctx context.Context, m *dns.Msg) error {
	client := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	if u.KeyName != "" {
		m.SetTsig(dns.Fqdn(u.KeyName), dns.HmacSHA256, tsigFudge, time.Now().Unix())
		client.TsigSecret = map[string]string{dns.Fqdn(u.KeyName): u.Key.Reveal()}
	}
	answer, _, err := client.ExchangeContext(ctx, m, u.Server)
	switch {
	case err != nil:
		return fmt.Errorf("DNS update at %s: %w", u.Server, err)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("DNS update of zone %s at %s: %s; see that the key may change TXT records there", u.Zone, u.Server, dns.RcodeToString[answer.Rcode])
	}
	return nil
}
