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

// Sessions gives the live sessions, the oldest first.
func (r *Running) Sessions(ctx context.Context) ([]Session, error) {
	var sessions []Session
	err := r.ask(ctx, http.MethodGet, "/sessions", nil, &sessions)
	return sessions, err
}

// Cut ends sessions, and gives their number.
func (r *Running) Cut(ctx context.Context, c Cut) (int, error) {
	var answer struct {
		Count int `json:"count"`
	}
	err := r.ask(ctx, http.MethodPost, "/sessions/cut", c, &answer)
	return answer.Count, err
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
		return errors.New(problem.Error)
	}
	if err := decoder.Decode(answer); err != nil {
		return fmt.Errorf("the answer of the gateway at %s: %w", r.socket, err)
	}
	return nil
}

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
