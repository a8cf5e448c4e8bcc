package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// measurements are what is measured, in the order of the table. Memory comes first, while the processes are fresh: what
// they have grown to under load they give back only slowly.
var measurements = []measurement{
	{names: []string{"idle session, fresh", "idle session, after 64 KB"}, units: []string{"KB", "KB"}, measure: idle, once: true},
	{names: []string{"IMAP sign-ins, 32 at once", "CPU of a sign-in"}, units: []string{"1/s", "µs"}, measure: signIns},
	{names: []string{"FETCH, one connection", "CPU of 1 GB by FETCH"}, units: []string{"MB/s", "s"}, measure: fetches},
	{names: []string{"NOOP round trip, median"}, units: []string{"µs"}, measure: noop},
	{names: []string{"SMTP, new connection, 4 KB message"}, units: []string{"1/s"}, measure: newConnections},
	{names: []string{"SMTP, reused connection, 4 KB message"}, units: []string{"1/s"}, measure: reusedConnection},
	{names: []string{"SMTP, 30 MB message"}, units: []string{"MB/s"}, measure: bigMessage},
}

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

// reply reads an SMTP reply.
func (c *client) reply(code string) error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("reply %q", line)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

func (c *client) exchange(line, code string) error {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return err
	}
	return c.reply(code)
}

// submitter opens a submission session.
func (t *target) submitter() (*client, error) {
	c, err := t.dial(t.smtp)
	if err != nil {
		return nil, err
	}
	if err := c.reply("220"); err != nil {
		return nil, err
	}
	if err := c.exchange("EHLO bench", "250"); err != nil {
		return nil, err
	}
	credentials := base64.StdEncoding.EncodeToString([]byte("\x00" + t.login + "\x00" + t.password))
	return c, c.exchange("AUTH PLAIN "+credentials, "235")
}

func (c *client) submit(message string) error {
	for _, step := range [][2]string{{"MAIL FROM:<scans@contoso.example>", "250"}, {"RCPT TO:<alice@contoso.example>", "250"}, {"DATA", "354"}, {message, "250"}} {
		if err := c.exchange(step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

// message makes a message of a size, its end included.
func message(size int) string {
	return "From: scans@contoso.example\r\n\r\n" + strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop\r\n", size/64) + "."
}

func newConnections(t *target, s settings) ([]float64, error) {
	if t.smtp == "" {
		return nil, nil
	}
	text, began := message(4096), time.Now()
	n, err := parallel(32, s.span, func() error {
		c, err := t.submitter()
		if err != nil {
			return err
		}
		defer c.conn.Close()
		if err := c.submit(text); err != nil {
			return err
		}
		return c.exchange("QUIT", "221")
	})
	return []float64{float64(n) / time.Since(began).Seconds()}, err
}

func reusedConnection(t *target, s settings) ([]float64, error) {
	rate, err := submitOver(t, s, message(4096))
	if rate == 0 {
		return nil, err
	}
	return []float64{rate}, err
}

func bigMessage(t *target, s settings) ([]float64, error) {
	const size = 30 << 20
	rate, err := submitOver(t, s, message(size))
	if rate == 0 {
		return nil, err
	}
	return []float64{rate * size / 1e6}, err
}

// submitOver sends a message again and again over one connection, and gives how many there were in a second.
func submitOver(t *target, s settings, text string) (float64, error) {
	if t.smtp == "" {
		return 0, nil
	}
	c, err := t.submitter()
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	began := time.Now()
	n, err := parallel(1, s.span, func() error { return c.submit(text) })
	return float64(n) / time.Since(began).Seconds(), err
}

// print prints the table: what each target gave, and the gateway against the others.
func (w *world) print(results map[string][]float64) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	header := "figure\tunit"
	for _, t := range w.targets {
		header += "\t" + t.name
	}
	for _, t := range w.targets {
		if t.name != "postern" && t.name != "direct" {
			header += "\tpostern/" + t.name
		}
	}
	fmt.Fprintln(table, header)
	for _, m := range measurements {
		for i, name := range m.names {
			fmt.Fprintln(table, w.row(name, m.units[i], results))
		}
	}
}

func (w *world) row(name, unit string, results map[string][]float64) string {
	row := name + "\t" + unit
	ours := median(results[name+"/postern"])
	for _, t := range w.targets {
		row += "\t" + number(median(results[name+"/"+t.name]))
	}
	for _, t := range w.targets {
		if t.name == "postern" || t.name == "direct" {
			continue
		}
		if theirs := median(results[name+"/"+t.name]); theirs > 0 && ours > 0 {
			row += fmt.Sprintf("\t%.2f", ours/theirs)
		} else {
			row += "\t–"
		}
	}
	return row
}

func number(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
