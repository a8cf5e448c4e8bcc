package syslog

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"postern/internal/audit"
)

// Config is where a log goes.
type Config struct {
	Log     string      // the path of the audit log; the place is kept beside it
	Host    string      // of the messages
	Address string      // host:port of the receiver
	TLS     *tls.Config // with the name that its certificate has to have, and whom it is believed
	Program *slog.Logger

	// Dial opens a connection to the receiver; nil means TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Confirm is how long lines may be sent without a word that they were received; 0 means half a minute. RFC 5425 knows no
	// acknowledgement but one: whoever has read all of a connection answers its end with its own. So the connection is ended,
	// and another one begun, whenever this time has gone by since lines were sent, or confirmBytes of them.
	Confirm time.Duration
	// Patience is how long the receiver may take for that answer, and for taking bytes; 0 means half a minute.
	Patience time.Duration
}

const (
	dialTime   = 15 * time.Second
	closeTime  = 2 * time.Second // for what is under way when the sink is closed
	batchBytes = 64 << 10
	// confirmBytes bounds what is sent twice after a lost connection.
	confirmBytes = 4 << 20
	look         = 100 * time.Millisecond // how often the log is looked at
	firstPause   = time.Second
	longestWait  = time.Minute
)

// Sink sends a log. It is safe for concurrent use.
type Sink struct {
	config Config
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	place  audit.Place // up to which the receiver has had the log
	up     bool
	since  time.Time // it is up, or down
	err    error     // why it is down
	missed int64
}

// Status is how a sink does.
type Status struct {
	Up       bool
	Since    time.Time
	Received int64 // number of the last line that the receiver has had
	Missed   int64 // lines that were removed from the log before it was there
	Err      error // why it is down
}

func (s Status) String() string {
	text := "up since " + stamp(s.Since)
	if !s.Up {
		text = fmt.Sprintf("down since %s: %v", stamp(s.Since), s.Err)
	}
	return fmt.Sprintf("%s; the receiver has had the lines up to %d", text, s.Received)
}

// PlaceFile gives the file in which the place of a log's receiver is kept.
func PlaceFile(log string) string { return log + ".syslog" }

// Start sends a log from where the receiver has had it, until Close. A receiver that is not there is no error.
func Start(c Config) (*Sink, error) {
	c.Confirm, c.Patience = cmp.Or(c.Confirm, 30*time.Second), cmp.Or(c.Patience, 30*time.Second)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	place, err := loadPlace(PlaceFile(c.Log), c.Log)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sink{config: c, stop: stop, done: make(chan struct{}), place: place, since: time.Now(), err: errors.New("not connected yet")}
	go s.run(ctx)
	return s, nil
}

// Close stops. The receiver gets what is under way, if it takes it at once.
func (s *Sink) Close() {
	s.stop()
	<-s.done
}

// Status says how the sink does.
func (s *Sink) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Up: s.up, Since: s.since, Received: s.place.Seq, Missed: s.missed, Err: s.err}
}

// Received gives the number of the last line that the receiver has had.
func (s *Sink) Received() int64 { return s.Status().Received }

func (s *Sink) run(ctx context.Context) {
	defer close(s.done)
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestWait) {
		began := time.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil { // the receiver has confirmed what it was sent
			pause = firstPause / 2
			continue
		}
		s.mark(false, err)
		if time.Since(began) > longestWait {
			pause = firstPause // it was up for a while
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// mark notes whether the receiver is there, and says it in the program's log when that is new.
func (s *Sink) mark(up bool, err error) {
	s.mu.Lock()
	before, known := s.up, s.err
	if s.err = err; up != before {
		s.up, s.since = up, time.Now()
	}
	s.mu.Unlock()
	switch {
	case up && !before:
		s.config.Program.Info("the audit log goes to its syslog receiver", "address", s.config.Address)
	case !up && (before || known == nil || known.Error() != err.Error()):
		s.config.Program.Warn("the audit log does not reach its syslog receiver; lines wait in its files", "address", s.config.Address, "error", err)
	}
}

// connection sends lines over one connection until that or ctx ends.
func (s *Sink) connection(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	sequel, err := audit.Continue(s.config.Log, s.received())
	if err != nil {
		return err
	}
	defer sequel.Close()
	s.mark(true, nil)
	// Closing waits for a receiver that takes nothing no longer than for one that does.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(closeTime, func() { _ = conn.NetConn().Close() }) })()
	f := &feed{sink: s, conn: conn, sequel: sequel, closed: make(chan struct{})}
	go f.listen()
	defer func() { _ = conn.Close(); <-f.closed }()
	return f.run(ctx)
}

func (s *Sink) received() audit.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place
}

// dial connects, and verifies who is there.
func (s *Sink) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	raw, err := s.config.Dial(ctx, "tcp", s.config.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, s.config.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// confirmed notes on the disk up to where the receiver has had the log.
func (s *Sink) confirmed(place audit.Place, missed int64) error {
	if err := savePlace(PlaceFile(s.config.Log), place); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place = place
	s.missed += missed
	return nil
}

// feed is one connection to the receiver.
type feed struct {
	sink   *Sink
	conn   *tls.Conn
	sequel *audit.Sequel
	closed chan struct{} // the receiver has closed the connection
	err    error         // how; good once closed is

	bytes int       // that were sent
	since time.Time // the first of them
}

// errClosed is a receiver that ends a connection without having been asked to.
var errClosed = errors.New("the receiver has closed the connection")

// listen waits for the end of the connection: a receiver never says anything (RFC 5425 section 4.4).
func (f *feed) listen() {
	defer close(f.closed)
	_, f.err = io.Copy(io.Discard, io.LimitReader(f.conn, 1<<20))
}

// run sends lines until the connection breaks, which is an error, or the receiver has confirmed them. When ctx ends, the lines
// that are in the log by then are sent, too: the last is the one that says that the gateway has stopped.
func (f *feed) run(ctx context.Context) error {
	for {
		stopped := ctx.Err() != nil
		more, err := f.batch()
		if err != nil {
			return err
		}
		if f.bytes >= confirmBytes || f.bytes > 0 && time.Since(f.since) >= f.sink.config.Confirm || stopped && !more {
			return f.end()
		}
		if more {
			continue
		}
		select {
		case <-time.After(look):
		case <-f.closed:
			return errClosed
		case <-ctx.Done():
		}
	}
}

// batch sends what there is, up to batchBytes and one line.
func (f *feed) batch() (more bool, err error) {
	var frames []byte
	for len(frames) < batchBytes {
		e, err := f.sequel.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
		frames = frame(frames, f.sink.config.Host, e)
	}
	if len(frames) == 0 {
		return false, nil
	}
	if f.bytes == 0 {
		f.since = time.Now()
	}
	f.bytes += len(frames)
	if err := f.conn.SetWriteDeadline(time.Now().Add(f.sink.config.Patience)); err != nil {
		return false, err
	}
	_, err = f.conn.Write(frames)
	return err == nil, err
}

// end ends the connection, and waits for the receiver to do so: by then it has read everything. A receiver that dies with
// something unread resets the connection, which is no confirmation.
func (f *feed) end() error {
	if f.bytes == 0 {
		return f.conn.Close()
	}
	if err := f.conn.CloseWrite(); err != nil {
		return err
	}
	select {
	case <-f.closed:
		if f.err != nil && !errors.Is(f.err, io.ErrUnexpectedEOF) { // it may end TCP without ending TLS
			return f.err
		}
		return f.sink.confirmed(f.sequel.Place(), f.sequel.Missed)
	case <-time.After(f.sink.config.Patience):
		return fmt.Errorf("the receiver has not read within %s what it was sent", f.sink.config.Patience)
	}
}
