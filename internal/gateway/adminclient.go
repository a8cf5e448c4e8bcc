package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// Running is a running gateway, as the administrator's commands reach it over its admin socket.
type Running struct {
	socket string
	client *http.Client
}

// Reach gives the running gateway that has an admin socket. It connects with the first command only; an error of that says
// what to do when no gateway runs.
func Reach(socket string) *Running {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	return &Running{socket: socket, client: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: adminTimeout}}
}

// Sessions gives the live sessions, the oldest first, with those that are left in processes that were succeeded.
func (r *Running) Sessions(ctx context.Context) ([]Session, error) {
	all, err := r.sessions(ctx)
	if err != nil {
		return nil, err
	}
	for _, before := range r.predecessors() {
		left, err := before.sessions(ctx)
		if err != nil && !errors.Is(err, errNoGateway) {
			return nil, err
		}
		all = append(all, left...)
	}
	slices.SortStableFunc(all, func(a, b Session) int { return a.Since.Compare(b.Since) })
	return all, nil
}

func (r *Running) sessions(ctx context.Context) (sessions []Session, err error) {
	err = r.ask(ctx, http.MethodGet, "/sessions", nil, &sessions)
	return sessions, err
}

// Cut ends sessions, and gives their number. Those that are left in processes that were succeeded are among them.
func (r *Running) Cut(ctx context.Context, c Cut) (int, error) {
	n, err := r.cut(ctx, c)
	for _, before := range r.predecessors() {
		more, failed := before.cut(ctx, c)
		n += more
		switch {
		case failed == nil && errors.Is(err, errNoSession):
			err = nil // it was there
		case failed != nil && !errors.Is(failed, errNoGateway) && !errors.Is(failed, errNoSession):
			err = errors.Join(err, failed)
		}
	}
	return n, err
}

func (r *Running) cut(ctx context.Context, c Cut) (int, error) {
	var answer struct {
		Count int `json:"count"`
	}
	err := r.ask(ctx, http.MethodPost, "/sessions/cut", c, &answer)
	return answer.Count, err
}

// predecessors gives the processes that the running one has succeeded, and that may have sessions left.
func (r *Running) predecessors() []*Running {
	var all []*Running
	for _, socket := range formerSockets(r.socket) {
		all = append(all, Reach(socket))
	}
	return all
}

// Reload has the gateway take up its configuration file, and says what has changed.
func (r *Running) Reload(ctx context.Context) (Reloaded, error) {
	var done Reloaded
	err := r.ask(ctx, http.MethodPost, "/reload", nil, &done)
	return done, err
}

// Compare says what a reload would change now.
func (r *Running) Compare(ctx context.Context) (Comparison, error) {
	var c Comparison
	err := r.ask(ctx, http.MethodGet, "/reload", nil, &c)
	return c, err
}

// LogLevel gives the level of the gateway's log.
func (r *Running) LogLevel(ctx context.Context) (slog.Level, error) {
	var now LogLevel
	err := r.ask(ctx, http.MethodGet, "/log/level", nil, &now)
	return now.Level, err
}

// ChangeLogLevel changes the level of the gateway's log, until it stops, and gives the one before.
func (r *Running) ChangeLogLevel(ctx context.Context, level slog.Level) (slog.Level, error) {
	var before LogLevel
	err := r.ask(ctx, http.MethodPost, "/log/level", LogLevel{level}, &before)
	return before.Level, err
}

// Upgrade has a new process, of the program as it is now, take the gateway's place, and waits until it has. drain is how long the
// sessions of the old one may go on; 0 for as long as they do by themselves.
func (r *Running) Upgrade(ctx context.Context, drain time.Duration) (Upgraded, error) {
	var done Upgraded
	patient := *r
	patient.client = &http.Client{Transport: r.client.Transport, Timeout: upgradeTime}
	err := patient.ask(ctx, http.MethodPost, "/upgrade", upgradeOrder{Drain: drain}, &done)
	return done, err
}

// ask sends an order and reads the answer.
func (r *Running) ask(ctx context.Context, method, path string, order, answer any) error {
	var content bytes.Buffer
	if order != nil {
		if err := json.NewEncoder(&content).Encode(order); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://postern"+path, &content)
	if err != nil {
		return err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return r.unreachable(err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode != http.StatusOK {
		var problem struct{ Error string }
		if err := decoder.Decode(&problem); err != nil || problem.Error == "" {
			return fmt.Errorf("the gateway at %s answers %s", r.socket, response.Status)
		}
		if response.StatusCode == http.StatusNotFound {
			return noSessionError(problem.Error)
		}
		return errors.New(problem.Error)
	}
	if err := decoder.Decode(answer); err != nil {
		return fmt.Errorf("the answer of the gateway at %s: %w", r.socket, err)
	}
	return nil
}

// errNoSession is what the error of a command is that found no such session.
var errNoSession = errors.New("there is no such session")

// noSessionError is one in the gateway's words.
type noSessionError string

func (e noSessionError) Error() string      { return string(e) }
func (noSessionError) Is(target error) bool { return target == errNoSession }

// errNoGateway is wrapped by the error of a command that found no running gateway.
var errNoGateway = errors.New("no gateway runs with this configuration")

// unreachable says why there is no answer, and what to do.
func (r *Running) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody answers at %s; postern serve starts one", errNoGateway, r.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the admin socket %s may be used by root and the user that the gateway runs as; use sudo", r.socket)
	}
	return fmt.Errorf("the gateway at %s does not answer: %w", r.socket, err)
}
