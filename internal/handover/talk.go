package handover

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// predecessorVariable has the number of the process that is succeeded.
	predecessorVariable = "POSTERN_PREDECESSOR"
	// talkName is the name of the descriptor over which the two talk; it is the last.
	talkName = "predecessor"
	// maxSaying bounds what one of them says, in bytes.
	maxSaying = 64 << 10
)

// saying is what one process says to the other, as a line of JSON. What a later version adds is nothing to an earlier one.
type saying struct {
	Serving bool   `json:"serving,omitempty"` // the successor accepts connections
	Failed  string `json:"failed,omitempty"`  // why the successor does not serve
	Yours   bool   `json:"yours,omitempty"`   // the predecessor has let go
}

// talk is the connection between a process and its successor: a pair of sockets, so that each notices the end of the other.
type talk struct {
	conn   net.Conn
	ending sync.Once
}

// newTalk makes the two ends: this process's own, and the one for the successor.
func newTalk() (mine *talk, its *os.File, err error) {
	syscall.ForkLock.RLock() // else a process that is started meanwhile would hold it open
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	near := os.NewFile(uintptr(pair[0]), talkName)
	its = os.NewFile(uintptr(pair[1]), talkName)
	conn, err := net.FileConn(near)
	_ = near.Close()
	if err != nil {
		_ = its.Close()
		return nil, nil, err
	}
	return &talk{conn: conn}, its, nil
}

// within bounds what is heard and said from now on.
func (t *talk) within(limit time.Duration) { _ = t.conn.SetDeadline(time.Now().Add(limit)) }

func (t *talk) say(s saying) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = t.conn.Write(append(line, '\n'))
	return err
}

// hear waits for what the other says next. What follows it is not read.
func (t *talk) hear() (s saying, err error) {
	err = json.NewDecoder(io.LimitReader(t.conn, maxSaying)).Decode(&s)
	return s, err
}

// close ends the talk. A second call does nothing.
func (t *talk) close() { t.ending.Do(func() { _ = t.conn.Close() }) }
