package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/secret"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresConfig reads a URL as libpq does, with its environment and password file, and makes it stricter: there is no
// password in it, the server has to show a good certificate unless it is on this machine or the URL says otherwise, and
// nothing waits for ever.
func postgresConfig(dsn string, password secret.Text) (*pgx.ConnConfig, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("store: it is no URL: write postgres://USER@HOST/DATABASE") // the error would repeat the URL
	}
	query := u.Query()
	if _, there := u.User.Password(); there || query.Has("password") {
		return nil, errors.New("store: there is a password in its URL, where many can read it: put it into a file of mode 0600 and name that with store_password_file")
	}
	if !query.Has("sslmode") && os.Getenv("PGSSLMODE") == "" && !localServer(cmp.Or(query.Get("host"), u.Hostname())) {
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
	}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("store: its URL: %w", err) // pgx leaves passwords out, and there is none
	}
	if !password.IsZero() {
		config.Password = password.Reveal()
	}
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, 5*time.Second)
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	for name, value := range map[string]string{
		"application_name":                    "postern",
		"statement_timeout":                   "30s",
		"lock_timeout":                        "10s",
		"idle_in_transaction_session_timeout": "60s",
		"default_transaction_isolation":       "read committed",
	} {
		if config.RuntimeParams[name] == "" {
			config.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// localServer reports whether a server is on this machine: over a unix socket or loopback.
func localServer(host string) bool {
	if host == "" || strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// openPostgres gives a pool of connections with some more settings. It connects when it is used.
func openPostgres(config *pgx.ConnConfig, settings map[string]string) *sql.DB {
	own := config.Copy()
	maps.Copy(own.RuntimeParams, settings)
	return sql.OpenDB(dollarConnector{stdlib.GetConnector(*own)})
}

// dollarConnector makes connections that take question marks for arguments, as all SQL of this package has them.
type dollarConnector struct{ driver.Connector }

func (c dollarConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return dollarConn{conn.(*stdlib.Conn)}, nil
}

type dollarConn struct{ *stdlib.Conn }

func (c dollarConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, dollars(query))
}

func (c dollarConn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, dollars(query), arguments)
}

func (c dollarConn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, dollars(query), arguments)
}

// numbered holds the queries that have been rewritten: they are constants of this package, and few.
var numbered sync.Map // query → string

// dollars writes $1, $2 and so on for the question marks of a query that are not in quotes.
func dollars(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	if known, ok := numbered.Load(query); ok {
		return known.(string)
	}
	var b strings.Builder
	n, quoted := 0, false
	for _, c := range []byte(query) {
		switch {
		case c == '\'':
			quoted = !quoted
		case c == '?' && !quoted:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteByte(c)
	}
	rewritten, _ := numbered.LoadOrStore(query, b.String())
	return rewritten.(string)
}
