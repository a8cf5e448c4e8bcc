package imapproxy

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// TestI17ReferralsAreNotFollowed: upstream may say that the mailbox is elsewhere (RFC 2221); nobody goes there, neither with
// the token nor without.
func TestI17ReferralsAreNotFollowed(t *testing.T) {
	elsewhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = elsewhere.Close() }()
	referral := fmt.Sprintf("[REFERRAL imap://helpdesk%%40contoso.example;AUTH=*@%s/]", elsewhere.Addr())
	for name, script := range map[string][2]string{
		"in the greeting":  {"greeting", "* BYE " + referral + " Try another server"},
		"for the sign-in":  {"AUTHENTICATE", "TAG NO " + referral + " Specified user is invalid on this server"},
		"with the sign-in": {"AUTHENTICATE", "TAG OK " + referral + " Specified user's mailbox is elsewhere"},
		"for the mailbox":  {"STATUS", "TAG NO " + referral + " Mailbox moved"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.upstream.script(script[0], script[1])
			c := w.greeted(implicit)
			c.send(login + "\r\n")
			_ = c.line()
		})
	}
	if err := elsewhere.(*net.TCPListener).SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if conn, err := elsewhere.Accept(); err == nil {
		_ = conn.Close()
		t.Error("somebody followed a referral")
	}
}
