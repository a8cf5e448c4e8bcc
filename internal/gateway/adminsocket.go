package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"

	"postern/internal/audit"
	"postern/internal/handover"
	"postern/internal/keys"
	"postern/internal/session"
)

// adminSocket answers the administrator's commands that only the running gateway can carry out, over a unix socket:
//
//	GET  /sessions       the live sessions, the oldest first: an array of [Session]
//	POST /sessions/cut   a [Cut]; the answer is {"count": n}
//	POST /keys/refresh   looks at the keys file now; the answer is [keysInUse]
//
// and the orders that the gateway adds, each an [adminOrder].
//
// An answer is JSON; {"error": …} where something is wrong. Root and the gateway's own user are served, nobody else:
// the mode of the socket says so, and the kernel is asked who the peer is, for the audit log as well.
type adminSocket struct {
	path     string
	identity os.FileInfo // of the socket's file, so that another gateway's is not removed
	listener net.Listener
	closing  sync.Once
	server   *http.Server
	sessions *session.Register
	audit    interface{ Record(audit.Event) error }
	keys     *keys.Ring
	log      *slog.Logger
}

const (
	// adminTimeout bounds a request and its answer.
	adminTimeout = 10 * time.Second
	// adminName is what the socket is called where sockets have names.
	adminName = "admin"
	// maxAdminRequest bounds a request's content in bytes.
	maxAdminRequest = 64 << 10
)

// Session is a live session as the admin socket tells of it.
type Session struct {
	ID       string    `json:"id"`
	Protocol string    `json:"protocol"`
	Login    string    `json:"login"`
	Mailbox  string    `json:"mailbox"`
	Account  string    `json:"account"`
	Password string    `json:"password_id"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
}

// Cut says which sessions are to end. One of its fields is set.
type Cut struct {
	ID    string `json:"id,omitempty"`
	Login string `json:"login,omitempty"` // canonical
	All   bool   `json:"all,omitempty"`
}

// errSocketTaken is an admin socket at which somebody answers.
var errSocketTaken = errors.New("another running gateway has this admin socket; give each of them its own in the setting admin_socket")

// listenAdmin makes the socket, or takes the predecessor's. A file that a gateway left behind when it died is replaced.
func listenAdmin(sockets *handover.Sockets, path string) (net.Listener, os.FileInfo, error) {
	if l, err := sockets.Take("unix", adminName, path); l != nil {
		if info, err := os.Lstat(path); err == nil {
			return l, info, nil
		}
		_ = l.Close() // nobody can reach it: its file was removed
	} else if err != nil {
		return nil, nil, err
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, nil, errSocketTaken
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, nil, fmt.Errorf("%s is there and is not a socket; name another place in the setting admin_socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false) // by then it may be another gateway's
	// Whoever connects before the mode is set is still held against who they are.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return sockets.Add(l, adminName, path), info, nil
}

// startAdmin makes the socket and gives it with the function that serves it until close.
func startAdmin(sockets *handover.Sockets, path string, sessions *session.Register, record interface{ Record(audit.Event) error }, ring *keys.Ring, log *slog.Logger, orders ...adminOrder) (*adminSocket, func(), error) {
	l, identity, err := listenAdmin(sockets, path)
	if err != nil {
		return nil, nil, fmt.Errorf("admin socket: %w", err)
	}
	a := &adminSocket{path: path, identity: identity, listener: l, sessions: sessions, audit: record, keys: ring, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions", a.list)
	mux.HandleFunc("POST /sessions/cut", a.cut)
	for _, o := range orders {
		mux.HandleFunc(o.pattern, func(w http.ResponseWriter, r *http.Request) { a.carryOut(w, r, o) })
	}
	mux.HandleFunc("POST /keys/refresh", a.refreshKeys)
	a.server = &http.Server{
		Handler:     http.MaxBytesHandler(a.trusted(mux), maxAdminRequest),
		ConnContext: withPeer,
		ReadTimeout: adminTimeout, WriteTimeout: adminTimeout, IdleTimeout: adminTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return a, func() { _ = a.server.Serve(l) }, nil
}

// close stops serving and removes the socket. After a first call of this or of leave, a second does nothing.
func (a *adminSocket) close() {
	a.closing.Do(func() {
		if now, err := os.Lstat(a.path); err == nil && os.SameFile(now, a.identity) {
			_ = os.Remove(a.path)
		}
		a.stop()
	})
}

// leave stops serving, and leaves the socket to the successor.
func (a *adminSocket) leave() { a.closing.Do(a.stop) }

func (a *adminSocket) stop() {
	_ = a.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
}

// peerKey is where a connection's context has its peer.
type peerKey struct{}

// withPeer asks the kernel who is at the other end (unix(7): SO_PEERCRED).
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ctx
	}
	var peer *syscall.Ucred
	_ = raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || peer == nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer.Uid)
}

// trusted serves root and the gateway's own user.
func (a *adminSocket) trusted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, known := r.Context().Value(peerKey{}).(uint32)
		if !known || uid != 0 && uid != uint32(os.Geteuid()) {
			a.log.Warn("a command over the admin socket was refused", "user", userName(uid))
			answer(w, http.StatusForbidden, map[string]string{"error": "only root and the user that the gateway runs as may do this"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// userName gives the name of a user of this machine.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if account, err := user.LookupId(id); err == nil {
		return account.Username
	}
	return "uid " + id
}

func (a *adminSocket) list(w http.ResponseWriter, _ *http.Request) {
	list := []Session{}
	for _, i := range a.sessions.List() {
		list = append(list, Session{i.ID, i.Protocol, i.Login, i.Mailbox, i.Account, i.Password, i.Remote.String(), i.Started.UTC()})
	}
	answer(w, http.StatusOK, list)
}

// cut ends sessions. It is in the audit log before it is done.
func (a *adminSocket) cut(w http.ResponseWriter, r *http.Request) {
	var order Cut
	if err := readOrder(r.Body, &order); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	what, match, err := order.selection()
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	if order.ID != "" && a.sessions.Count(match) == 0 {
		answer(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("there is no session %q; postern session list shows them", order.ID)})
		return
	}
	uid, _ := r.Context().Value(peerKey{}).(uint32)
	count, err := cutSessions(a.sessions, a.audit, what, userName(uid), match)
	if err != nil {
		a.log.Error("sessions are not cut off: the audit log cannot be written", "error", err)
		answer(w, http.StatusInternalServerError, map[string]string{"error": "nothing was done, because the audit log cannot be written: " + err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]int{"count": count})
}

// selection gives the sessions that an order is about, in words and as a condition.
func (c Cut) selection() (what string, match func(session.Info) bool, err error) {
	switch c {
	case Cut{ID: c.ID}:
		if c.ID != "" {
			return "session " + c.ID, func(i session.Info) bool { return i.ID == c.ID }, nil
		}
	case Cut{Login: c.Login}:
		return "login " + c.Login, func(i session.Info) bool { return i.Login == c.Login }, nil
	case Cut{All: true}:
		return "all", func(session.Info) bool { return true }, nil
	}
	return "", nil, errors.New("name one of a session's id, a login, or all")
}

// readOrder reads what an order says, in JSON. A field that the order does not have is an error.
func readOrder(from io.Reader, order any) error {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(order); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	return nil
}

// adminOrder is an order that the gateway itself carries out. Its answer becomes JSON; its error is told to whoever gave it.
type adminOrder struct {
	pattern string // method and path
	do      func(ctx context.Context, by string, order io.Reader) (any, error)
	limit   time.Duration // what it may take; 0 for adminTimeout
}

func (a *adminSocket) carryOut(w http.ResponseWriter, r *http.Request, o adminOrder) {
	uid, _ := r.Context().Value(peerKey{}).(uint32)
	if o.limit > 0 {
		both, until := http.NewResponseController(w), time.Now().Add(o.limit)
		_, _ = both.SetReadDeadline(until), both.SetWriteDeadline(until) // an error means that the client has gone
	}
	content, err := o.do(r.Context(), userName(uid), r.Body)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, content)
}

func answer(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // an error means that the client has gone
}
