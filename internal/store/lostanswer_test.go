package store

import (
	"bytes"
	"net"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/postgrestest"
)

// cutter passes on what goes to a PostgreSQL server and comes from it, until it is told to cut at the next commit.
type cutter struct {
	server string
	// cut is what becomes of the next commit: whole, lost on its way, or with its answer lost.
	cut atomic.Int32
}

const (
	wholeCommit = iota
	lostCommit
	lostAnswer
)

// startCutter gives a DSN that goes through it.
func startCutter(t *testing.T, dsn string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	const socket = ".s.PGSQL.5432"
	folder := t.TempDir()
	c := &cutter{server: filepath.Join(query.Get("host"), socket)}
	listener, err := net.Listen("unix", filepath.Join(folder, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	query.Set("host", folder)
	u.RawQuery = query.Encode()
	return c, u.String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool // the client hears nothing any more
	go func() {
		defer client.Close()
		block := make([]byte, 1<<16)
		for {
			n, err := server.Read(block)
			if err != nil || deaf.Load() {
				return
			}
			if _, err := client.Write(block[:n]); err != nil {
				return
			}
		}
	}()
	block := make([]byte, 1<<16)
	for {
		n, err := client.Read(block)
		if err != nil {
			return
		}
		if bytes.Contains(block[:n], []byte("commit\x00")) {
			switch c.cut.Swap(wholeCommit) {
			case lostCommit:
				return
			case lostAnswer:
				deaf.Store(true)
			}
		}
		if _, err := server.Write(block[:n]); err != nil {
			return
		}
	}
}

// TestI01LostAnswer: when the connection to the database breaks in the middle of a commit, a message is in the queue once, and
// the client hears that it is, whether the database had committed it or not. Another of the same id is still refused.
func TestI01LostAnswer(t *testing.T) {
	dsn := postgrestest.DSN(t)
	c, through := startCutter(t, dsn)
	s := openPostgresAt(t, through)
	for id, cut := range map[string]int32{"whole": wholeCommit, "lost": lostCommit, "answered": lostAnswer} {
		m := QueuedMessage{ID: id, Mailbox: "m", Login: "l", State: Waiting, Parts: 1, Accepted: time.Now(), NextTry: time.Now(), Record: []byte("r"),
			Recipients: []QueuedRecipient{{State: RecipientWaiting}}}
		c.cut.Store(cut)
		if err := s.Enqueue(t.Context(), m, []Part{{Content: []byte("x")}}, s.Generation()); err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if c.cut.Load() != wholeCommit {
			t.Errorf("%s: nothing was cut: the test says nothing", id)
		}
		got, err := s.QueuedMessage(t.Context(), id)
		if err != nil || len(got.Recipients) != 1 {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
		if part, err := s.ReadPart(t.Context(), id, 0); err != nil || string(part) != "x" {
			t.Errorf("%s: %q, %v", id, part, err)
		}
		if err := s.Enqueue(t.Context(), m, []Part{{Content: []byte("y")}}, s.Generation()); err == nil {
			t.Errorf("%s: it is there twice", id)
		}
	}
}
