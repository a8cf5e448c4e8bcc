package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// client is a mail client.
type client struct {
	conn *tls.Conn
	in   *bufio.Reader
}

func (t *target) dial(address string) (*client, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: t.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

func hasIMAP(t *target) bool { return t.imap != "" }

// signIn opens an IMAP session.
func (t *target) signIn() (*client, error) {
	c, err := t.dial(t.imap)
	if err != nil {
		return nil, err
	}
	if _, err := c.in.ReadString('\n'); err != nil {
		return nil, err
	}
	if err := c.command("a LOGIN " + t.login + " " + t.password); err != nil {
		return nil, err
	}
	return c, nil
}

// command sends a command and reads up to its tagged OK.
func (c *client) command(line string) error {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return err
	}
	tag, _, _ := strings.Cut(line, " ")
	for {
		answer, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(answer, tag+" ") {
			if !strings.HasPrefix(answer, tag+" OK") {
				return fmt.Errorf("answer %q", answer)
			}
			return nil
		}
	}
}

// parallel repeats do in n goroutines for a span and gives how often it was done.
func parallel(n int, span time.Duration, do func() error) (int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	var failed error
	end := time.Now().Add(span)
	for range n {
		wg.Go(func() {
			done := 0
			var err error
			for err == nil && time.Now().Before(end) {
				if err = do(); err == nil {
					done++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total += done
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return total, failed
}

func signIns(t *target, s settings) ([]float64, error) {
	before, began := t.cpu(), time.Now()
	n, err := parallel(32, s.span, func() error {
		c, err := t.signIn()
		if err != nil {
			return err
		}
		return c.conn.Close()
	})
	return []float64{float64(n) / time.Since(began).Seconds(), perUnit(t, before, float64(n)) * 1e6}, err
}

// perUnit gives the seconds of processor time for each unit of work.
func perUnit(t *target, before time.Duration, units float64) float64 {
	if t.process == 0 {
		return 0
	}
	return (t.cpu() - before).Seconds() / units
}

func fetches(t *target, s settings) ([]float64, error) {
	c, err := t.signIn()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	before, began := t.cpu(), time.Now()
	n, err := parallel(1, s.span, func() error {
		if _, err := io.WriteString(c.conn, "b FETCH 1 BODY[]\r\n"); err != nil {
			return err
		}
		header, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(header[strings.IndexByte(header, '{')+1 : strings.IndexByte(header, '}')])
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c.in, int64(size)); err != nil {
			return err
		}
		_, _ = c.in.ReadString('\n')
		_, err = c.in.ReadString('\n')
		return err
	})
	bytes := float64(n) * fetchSize
	return []float64{bytes / 1e6 / time.Since(began).Seconds(), perUnit(t, before, bytes/1e9)}, err
}

func noop(t *target, _ settings) ([]float64, error) {
	c, err := t.signIn()
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	times := make([]float64, 2000)
	for i := range times {
		began := time.Now()
		if err := c.command("n NOOP"); err != nil {
			return nil, err
		}
		times[i] = float64(time.Since(began).Nanoseconds()) / 1e3
	}
	slices.Sort(times)
	return []float64{times[len(times)/2]}, nil
}

// idle gives the memory of a session that has just begun, and of one through which a message came. Some others begin
// before the count: what the first sessions of a process cost, its code that has to be loaded above all, is not theirs.
// It waits until memory that came free is given back.
func idle(t *target, s settings) ([]float64, error) {
	if t.process == 0 {
		return nil, nil
	}
	others, err := t.sessions(s.sessions / 4)
	defer hangUp(others)
	if err != nil {
		return nil, err
	}
	if err := fetchSmall(others); err != nil {
		return nil, err
	}
	before := settled(t)
	sessions, err := t.sessions(s.sessions)
	defer hangUp(sessions)
	if err != nil {
		return nil, err
	}
	fresh := (settled(t) - before) / float64(s.sessions) / 1024
	if err := fetchSmall(sessions); err != nil {
		return nil, err
	}
	return []float64{fresh, (settled(t) - before) / float64(s.sessions) / 1024}, nil
}

// sessions opens n sessions, and gives those that it has opened when one fails.
func (t *target) sessions(n int) (opened []*client, err error) {
	for range n {
		c, err := t.signIn()
		if err != nil {
			return opened, err
		}
		opened = append(opened, c)
	}
	return opened, nil
}

func hangUp(sessions []*client) {
	for _, c := range sessions {
		_ = c.conn.Close()
	}
}

// fetchSmall fetches a message of 64 KB in each session.
func fetchSmall(sessions []*client) error {
	for _, c := range sessions {
		if err := c.command("f FETCH 1 BODY.PEEK[]"); err != nil {
			return err
		}
	}
	return nil
}

// settled gives a target's memory once it has not fallen for a while: longer than the gateway takes to give back what it
// does not need.
func settled(t *target) float64 {
	const quietTime = 12 * time.Second
	least, since := t.memory(), time.Now()
	for time.Since(since) < quietTime {
		time.Sleep(500 * time.Millisecond)
		if now := t.memory(); now < 0.99*least {
			least, since = now, time.Now()
		}
	}
	return t.memory()
}
