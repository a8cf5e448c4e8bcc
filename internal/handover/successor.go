package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// StartTime bounds how long a successor may take until it serves: it may have a schema to migrate.
const StartTime = 2 * time.Minute

// Successor is the process that succeeds this one.
type Successor struct {
	PID   int
	talk  *talk
	ended chan struct{} // closed when it has
	err   error         // how; good once ended is
}

// Succeed starts a program with arguments as the successor of this process: it gets all sockets, the environment and the standard
// outputs. It is waited for until it serves them, beside this process. After an error, which has the successor's own words where it
// had any, it is no more, and nothing has changed here.
func (s *Sockets) Succeed(ctx context.Context, program string, arguments []string) (*Successor, error) {
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	mine, its, err := newTalk()
	if err != nil {
		return nil, err
	}
	successor, err := s.start(program, arguments, its)
	_ = its.Close()
	if err != nil {
		mine.close()
		return nil, fmt.Errorf("starting the successor: %w", err)
	}
	successor.talk = mine
	if err := successor.awaitServing(ctx); err != nil {
		successor.end()
		return nil, err
	}
	return successor, nil
}

// start starts the successor, with a descriptor to talk over.
func (s *Sockets) start(program string, arguments []string, its *os.File) (*Successor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, names, closeCopies, err := s.files()
	if err != nil {
		return nil, err
	}
	defer closeCopies()
	cmd := exec.Command(program, arguments...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = append(files, its)
	cmd.Env = environment(os.Environ(), append(names, talkName), os.Getpid())
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	successor := &Successor{PID: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		defer close(successor.ended)
		successor.err = cmd.Wait()
	}()
	return successor, nil
}

// environment gives the successor's environment: the sockets by their names, and whose successor it is. LISTEN_PID, the number of
// the process that the sockets are for, is not known before that process is there, which sets it by itself. A watchdog wants to
// hear from the service and not from one process of it.
func environment(mine, names []string, pid int) []string {
	var its []string
	for _, variable := range mine {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", predecessorVariable:
		default:
			its = append(its, variable)
		}
	}
	return append(its, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"),
		predecessorVariable+"="+strconv.Itoa(pid))
}

// awaitServing waits until the successor says that it serves.
func (s *Successor) awaitServing(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.talk.close() })
	defer stop()
	said, err := s.talk.hear()
	var foreign *json.SyntaxError
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the successor does not serve within %s", StartTime)
	case ctx.Err() != nil:
		return fmt.Errorf("the successor was given up: %w", ctx.Err())
	case errors.As(err, &foreign), err == nil && !said.Serving && said.Failed == "":
		return errors.New("the successor speaks another language: it is too old or too new for this")
	case err != nil:
		s.end() // what it had to say is in the log
		return fmt.Errorf("the successor ended before it served: %w", s.how())
	case said.Failed != "":
		return fmt.Errorf("the successor does not start: %s", said.Failed)
	}
	return nil
}

// how says how the successor ended.
func (s *Successor) how() error {
	if s.err == nil {
		return errors.New("exit status 0")
	}
	return s.err
}

// endTime is how long a successor that does not serve may take to end when it is asked to.
const endTime = 3 * time.Second

// end sees to it that a successor that does not serve is no more.
func (s *Successor) end() {
	s.talk.close()
	select {
	case <-s.ended: // by itself
		return
	case <-time.After(endTime / 10):
	}
	_ = syscall.Kill(s.PID, syscall.SIGTERM)
	select {
	case <-s.ended:
		return
	case <-time.After(endTime):
	}
	_ = syscall.Kill(s.PID, syscall.SIGKILL)
	<-s.ended
}

// Yield tells the successor that what only one process may do is its own from now on, and goes on without it.
func (s *Successor) Yield() error {
	defer s.talk.close()
	return s.talk.say(saying{Yours: true})
}

// Forsake asks a successor that serves to end: it is not wanted after all. It takes its time for that, as any stop does, and is not
// waited for.
func (s *Successor) Forsake() {
	s.talk.close()
	_ = syscall.Kill(s.PID, syscall.SIGTERM)
}

// Predecessor is the process that this one succeeds.
type Predecessor struct {
	PID  int
	talk *talk
}

// yieldTime bounds how long a successor waits for its predecessor to let go.
const yieldTime = 30 * time.Second

// Serve tells the predecessor that this process serves, and waits until the predecessor has let go of what only one of them may
// do, or is no more. It does nothing where there is none.
func (p *Predecessor) Serve() error {
	if p == nil {
		return nil
	}
	defer p.talk.close()
	if err := p.talk.say(saying{Serving: true}); err != nil {
		return fmt.Errorf("the predecessor, process %d, has gone: %w", p.PID, err)
	}
	p.talk.within(yieldTime)
	said, err := p.talk.hear()
	if err != nil || !said.Yours {
		return fmt.Errorf("the predecessor, process %d, has gone without a word (%w)", p.PID, err)
	}
	return nil
}

// Fail tells the predecessor why this process does not serve. It does nothing where there is none.
func (p *Predecessor) Fail(err error) {
	if p == nil {
		return
	}
	words := err.Error()
	_ = p.talk.say(saying{Failed: words[:min(len(words), maxSaying/8)]})
	p.talk.close()
}

// predecessor finds out whether this process succeeds another one, and has the sockets count as its own then.
func predecessor() *Predecessor {
	pid, err := strconv.Atoi(os.Getenv(predecessorVariable))
	_ = os.Unsetenv(predecessorVariable)
	if err != nil || pid != os.Getppid() {
		return nil
	}
	_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	return &Predecessor{PID: pid}
}

// take gives the predecessor the descriptor to talk over; false if it is something else.
func (p *Predecessor) take(file *os.File) bool {
	if p == nil || file.Name() != talkName {
		return false
	}
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return true
	}
	p.talk = &talk{conn: conn}
	return true
}
