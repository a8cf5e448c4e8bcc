package smtpproxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/auth"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/front"
	"postern/internal/queue"
	"postern/internal/session"
	"postern/internal/wire"
)

const tooSlow = "421 4.4.2 Too slow, closing the connection"

// stranger is a dialogue over a pipe, of a client that was accepted just now, for tests that let time pass. It is not
// running yet.
func stranger() (d *dialogue, client net.Conn, record *fakeAudit) {
	client, theirs := net.Pipe()
	record = &fakeAudit{}
	p := New(Config{Domain: "mail.test", Audit: record, Sessions: &session.Register{}, Log: slog.New(slog.DiscardHandler)})
	return newDialogue(p, front.New(theirs, "s-1", time.Now()), Door{}), client, record
}

// sender is a stranger that has signed in and may send DATA; on the channel comes what upstream heard after it.
func sender(t *testing.T) (d *dialogue, client net.Conn, record *fakeAudit, heard <-chan string) {
	d, client, record = stranger()
	d.proxy.Queue, _ = openQueue(t, submitters{&queue.Limits{Connections: 3}}, record, io.Discard)
	d.link = newLink(d.conn.Conn)
	d.live, _ = d.proxy.Sessions.Add(session.Limits{}, session.Info{ID: "s-1"}, d.link.cut)
	d.grant, d.started, d.hello, d.extended = &auth.Grant{Login: "copier-3", Policy: &config.Policy{Send: config.Send{Delivery: direct}}}, time.Now(), "copier", true
	upstream, heard := readyUpstream()
	d.link.put(upstream)
	permit, _, err := d.proxy.Queue.Admit(t.Context(), d.submitter())
	if err != nil {
		t.Fatal(err)
	}
	d.transaction = &transaction{upstream: upstream, permit: permit, sender: "a@b.example", recipients: []string{"c@d.example"}}
	return d, client, record, heard
}

// start has the dialogue run to its end, which closes the connection.
func (d *dialogue) start(ctx context.Context) {
	go func() {
		d.run(ctx)
		_ = d.conn.Close()
	}()
}

// readyUpstream answers DATA and the end of a message, and tells on the channel what it heard after DATA.
func readyUpstream() (*submission, <-chan string) {
	mine, theirs := net.Pipe()
	heard := make(chan string, 1)
	go func() {
		in := wire.NewReader(theirs, maxReplyLine)
		_, _ = in.ReadLine()
		_, _ = io.WriteString(theirs, "354 go on\r\n")
		var all []byte
		for block := make([]byte, 512); ; {
			n, err := in.Read(block)
			if all = append(all, block[:n]...); n > 0 && strings.HasSuffix(string(all), endMark) {
				_, _ = io.WriteString(theirs, accepted+"\r\n")
			}
			if err != nil {
				break
			}
		}
		heard <- string(all)
	}()
	return &submission{conn: mine, in: wire.NewReader(mine, maxReplyLine)}, heard
}

// TestI28SignInTakesTooLong: the minute runs from the acceptance of the connection, whatever the client sends meanwhile
// (threat model I-28).
func TestI28SignInTakesTooLong(t *testing.T) {
	for name, command := range map[string]string{"silent": "", "trickling": "NOOP\r\n", "a byte at a time": "x"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, client, _ := stranger()
				began := time.Now()
				d.start(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					for command != "" {
						if _, err := io.WriteString(client, command); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				var last string
				for lines := bufio.NewScanner(client); lines.Scan(); {
					last = lines.Text()
				}
				if took := time.Since(began); last != tooSlow || took != front.SignInTimeout {
					t.Errorf("the last word was %q after %v, want %q after %v", last, took, tooSlow, front.SignInTimeout)
				}
				<-done
			})
		})
	}
}

func TestIdleClientIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, client, record, _ := sender(t)
		began := time.Now()
		d.start(t.Context())
		all, _ := io.ReadAll(client)
		if got, want := string(all), greeting+"\r\n"+tooSlow+"\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if took := time.Since(began); took != commandTimeout {
			t.Errorf("after %v, want %v", took, commandTimeout)
		}
		synctest.Wait()
		if got := record.all(); len(got) != 1 || got[0].(audit.SessionEnd).Cause != "idle" {
			t.Errorf("audit: %+v, want the end of an idle session", got)
		}
	})
}

// TestClientStallsInItsMessage: it is sent away after a while, and upstream sees no end, nor the CR that may be one.
func TestClientStallsInItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, client, record, heard := sender(t)
		began := time.Now()
		d.start(t.Context())
		go func() { _, _ = io.WriteString(client, "DATA\r\nSubject: x\r\n\r\n.\r") }()
		all, _ := io.ReadAll(client)
		if got := string(all); !strings.HasSuffix(got, goAhead+"\r\n"+tooSlow+"\r\n") {
			t.Errorf("got %q", got)
		}
		if took := time.Since(began); took != blockTimeout {
			t.Errorf("after %v, want %v", took, blockTimeout)
		}
		if got := <-heard; !strings.HasSuffix(got, "Subject: x\r\n\r\n.") {
			t.Errorf("upstream heard %q", got)
		}
		synctest.Wait()
		if got := record.messages(); len(got) != 1 || got[0].Reason != "client-lost" {
			t.Errorf("audit: %+v", got)
		}
	})
}

// TestStopInAMessage: what is on its way is finished first, though the stop finds the dialogue waiting for more of it.
func TestStopInAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, client, record, heard := sender(t)
		ctx, stop := context.WithCancel(t.Context())
		d.start(ctx)
		said := make(chan string, 1)
		go func() {
			all, _ := io.ReadAll(client)
			said <- string(all)
		}()
		_, _ = io.WriteString(client, "DATA\r\nfirst\r\n")
		synctest.Wait()
		stop()
		synctest.Wait()
		_, _ = io.WriteString(client, "second\r\n")
		_, _ = io.WriteString(client, ".\r\n")
		if got, want := <-said, strings.Join([]string{greeting, goAhead, accepted, stopping, ""}, "\r\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := <-heard; !strings.HasSuffix(got, "\r\nfirst\r\nsecond\r\n.\r\nQUIT\r\n") {
			t.Errorf("upstream heard %q", got)
		}
		if got := record.messages(); len(got) != 1 || got[0].Outcome != audit.Allowed {
			t.Errorf("audit: %+v", got)
		}
	})
}
