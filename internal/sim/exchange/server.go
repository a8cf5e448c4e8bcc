// Package exchange is the simulator's Exchange Online: IMAP4 with implicit TLS and SMTP submission with STARTTLS, both
// by XOAUTH2 only, over one mail store in memory.
//
// Texts, their order and what they are answers to are those of the real service as far as they are known, so that a
// gateway that lives with the simulator lives with Exchange; where a text is a guess, a comment says so. The server is
// strict: what Exchange refuses, it refuses, and a session dies with its token.
package exchange

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"postern/internal/sim/tenant"
)

// host is the name of the front end that serves every connection.
const host = "MN2PR01CA0077.prod.exchangelabs.com"

// Limits are the submission limits of a mailbox (reference C). A negative one is no limit.
type Limits struct {
	Connections      int // at once in the middle of a message; 0 means 3
	PerMinute        int // messages in a minute; 0 means 30
	RecipientsPerDay int // 0 means 10000
}

// Config is what a server is made of.
type Config struct {
	Tenant      *tenant.Tenant
	Tokens      tenant.Verifier
	TLS         *tls.Config
	IMAPAddress string // host:port to listen on; port 0 takes a free one
	SMTPAddress string
	Limits      Limits
	// BasicDisabled makes IMAP say LOGINDISABLED and leave AUTH=PLAIN out, as tenants without basic authentication do.
	BasicDisabled bool
	// GoogleChallenge makes IMAP and SMTP refuse a token in Google's way, with a challenge first.
	GoogleChallenge bool
	Log             *slog.Logger
}

// Server is a running server.
type Server struct {
	config     Config
	store      *store
	submission *submissions
	imap, smtp net.Listener

	mu       sync.Mutex
	sessions map[net.Conn]struct{}
	closed   bool
	wait     sync.WaitGroup
}

// Start listens and serves. Close ends it.
func Start(config Config) (*Server, error) {
	s := &Server{config: config, store: newStore(), submission: newSubmissions(config.Limits), sessions: make(map[net.Conn]struct{})}
	var err error
	if s.imap, err = tls.Listen("tcp", config.IMAPAddress, config.TLS); err != nil {
		return nil, fmt.Errorf("simulated IMAP: %w", err)
	}
	if s.smtp, err = net.Listen("tcp", config.SMTPAddress); err != nil {
		return nil, errors.Join(fmt.Errorf("simulated SMTP: %w", err), s.imap.Close())
	}
	s.wait.Go(func() { s.accept(s.imap, s.serveIMAP) })
	s.wait.Go(func() { s.accept(s.smtp, s.serveSMTP) })
	return s, nil
}

// IMAPAddress and SMTPAddress give host:port of the listeners.
func (s *Server) IMAPAddress() string { return s.imap.Addr().String() }
func (s *Server) SMTPAddress() string { return s.smtp.Addr().String() }

// Sessions gives how many connections there are.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Close ends every session and waits for all of them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	err := errors.Join(s.imap.Close(), s.smtp.Close())
	for conn := range s.sessions {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
	return err
}

func (s *Server) accept(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, say
			time.Sleep(5 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		if s.closed {
			_ = conn.Close()
		} else {
			s.sessions[conn] = struct{}{}
			s.wait.Go(func() {
				defer s.forget(conn)
				serve(conn)
			})
		}
		s.mu.Unlock()
	}
}

func (s *Server) forget(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, conn)
}

// strike lets a fault that was ordered for a point strike. It gives the words to answer with, if any, and reports
// whether the connection is to be dropped.
func (s *Server) strike(point tenant.Point, names ...string) (reply string, drop bool) {
	fault, ok := s.config.Tenant.Faults.Take(point, names...)
	if !ok {
		return "", false
	}
	if fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	return fault.Reply, fault.Drop
}

// hostToken is the front end's name as the IMAP greeting carries it: base64 of UTF-16LE (reference B.2).
func hostToken() string {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(host)) {
		raw = append(raw, byte(unit), byte(unit>>8))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// newID gives a random id as Exchange writes them: hex in upper case.
func newID(bytes int) string {
	id := make([]byte, bytes)
	_, _ = rand.Read(id)
	return strings.ToUpper(hex.EncodeToString(id))
}
