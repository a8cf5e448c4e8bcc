package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"postern/internal/sim"
	"postern/internal/sim/entra"
)

// gateway is what every process of Postern's is started with.
type gateway struct {
	binary     string
	tokens     string // URL of the token service
	imap, smtp string // addresses upstream
}

const posternConfig = `domain: localhost
certificates: [{files: {cert: %[1]s/mail.pem, key: %[1]s/mail.key}}]
limits: {connections: 20000, connections_per_source: 20000}
providers:
  contoso:
    kind: microsoft
    tenant: contoso.example
    client_id: %[2]s
    client_secret_file: %[1]s/client.secret
    # What Exchange Online bears is not what is measured: beyond its 30 messages a minute all would wait in the queue.
    smtp_connections: 1000
    smtp_messages_per_minute: 100000000
    smtp_recipients_per_day: 100000000
    endpoints: {authority: %[3]s, imap: %[4]s, smtp: %[5]s, ca_file: %[1]s/ca.pem}
  # Exchange Online's own limits, as everybody has them: what a queue is for.
  limited:
    kind: microsoft
    tenant: contoso.example
    client_id: %[2]s
    client_secret_file: %[1]s/client.secret
    endpoints: {authority: %[3]s, imap: %[4]s, smtp: %[5]s, ca_file: %[1]s/ca.pem}
listeners:
  - {protocol: imap, address: "%[6]s", tls: implicit}
  - {protocol: smtp, address: "%[7]s", tls: implicit}
policies:
  auto: {protocols: [imap, smtp], limits: {connections: 100000}}
  direct: {protocols: [smtp], limits: {connections: 100000}, send: {delivery: direct}}
  queue: {protocols: [smtp], limits: {connections: 100000}, send: {delivery: queue}}
  unlimited-queue: {protocols: [smtp], limits: {connections: 100000}, send: {delivery: queue}}
users:
`

const posternUser = "  - {login: %s, mailbox: %s@contoso.example, provider: %s, grant: application, policy: %s}\n"

// addPostern starts the token service and the gateway that is measured beside the others.
func (w *world) addPostern(ctx context.Context, config *tls.Config) error {
	directory := sim.Contoso()
	tokens, err := entra.Start(entra.Config{Tenant: directory, TLS: config, Address: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() { _ = tokens.Close() })
	w.gateway.tokens = tokens.URL()
	application, _ := directory.Application(sim.ClientID)
	if err := os.WriteFile(w.path("client.secret"), []byte(application.Secrets[0].Value.Reveal()), 0o600); err != nil {
		return err
	}
	if w.gateway.binary == "" {
		w.gateway.binary = w.path("postern")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", w.gateway.binary, "./cmd/postern")
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return err
		}
	}
	t, err := w.postern(ctx, 1)
	if err != nil {
		return err
	}
	w.targets = append(w.targets, t)
	return nil
}

// deliveries are the ways in which a message can go, each a policy of the gateway's and a login of its own: by queue, a
// message waits for the limits of its mailbox; by unlimited-queue, there are none.
var deliveries = []string{"auto", "direct", "queue", "unlimited-queue"}

// mailboxOf gives the mailbox of a delivery: one for all that are not limited.
func mailboxOf(delivery string) string {
	if delivery == "queue" {
		return "waiting"
	}
	return "scans"
}

// postern starts a gateway with a store of its own and so many users, at least one for each delivery, of whom the first
// signs in.
func (w *world) postern(ctx context.Context, users int) (*target, error) {
	t, file, err := w.deploy(ctx, users)
	if err != nil {
		return nil, err
	}
	return t, w.serve(ctx, t, file)
}

// deploy writes what a gateway has on its disk: a configuration, which it gives the name of, and a store with the password
// of the first user.
func (w *world) deploy(ctx context.Context, users int) (t *target, file string, err error) {
	folder, err := os.MkdirTemp(w.folder, "postern-")
	if err != nil {
		return nil, "", err
	}
	t = &target{name: "postern", roots: w.roots, deliveries: make(map[string]credentials)}
	var errs [2]error
	t.imap, errs[0] = freeAddress()
	t.smtp, errs[1] = freeAddress()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, "", err
	}
	var content strings.Builder
	fmt.Fprintf(&content, posternConfig, w.folder, sim.ClientID, w.gateway.tokens, w.gateway.imap, w.gateway.smtp, t.imap, t.smtp)
	for _, delivery := range deliveries {
		provider := "contoso"
		if delivery == "queue" {
			provider = "limited"
		}
		fmt.Fprintf(&content, posternUser, "copier-"+delivery, mailboxOf(delivery), provider, delivery)
	}
	for i := range users - len(deliveries) {
		login := fmt.Sprintf("device-%d", i)
		fmt.Fprintf(&content, posternUser, login, login, "contoso", "auto")
	}
	file = filepath.Join(folder, "postern.yaml")
	if err := os.WriteFile(file, []byte(content.String()), 0o600); err != nil {
		return nil, "", err
	}
	for _, delivery := range deliveries {
		c := credentials{login: "copier-" + delivery, mailbox: mailboxOf(delivery) + "@contoso.example"}
		if c.password, err = issue(ctx, w.gateway.binary, file, c.login); err != nil {
			return nil, "", err
		}
		t.deliveries[delivery] = c
	}
	t.login, t.password = t.deliveries["auto"].login, t.deliveries["auto"].password
	return t, file, nil
}

// serve starts a gateway and has its first user sign in.
func (w *world) serve(ctx context.Context, t *target, file string) (err error) {
	began := time.Now()
	if t.process, err = w.run(ctx, t.imap, nil, w.gateway.binary, "serve", "-c", file); err != nil {
		return err
	}
	c, err := t.signIn()
	if err != nil {
		return err
	}
	t.started = time.Since(began)
	return c.conn.Close()
}

// issue gives a new app password for a login.
func issue(ctx context.Context, binary, file, login string) (string, error) {
	issued, err := exec.CommandContext(ctx, binary, "password", "issue", "-c", file, "--label", "bench", "--json", login).Output()
	if err != nil {
		return "", fmt.Errorf("issuing a password: %w", err)
	}
	var password struct{ Password string }
	err = json.Unmarshal(issued, &password)
	return password.Password, err
}
