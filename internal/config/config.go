// Package config is the configuration file: its types, its defaults, and the rules that it must keep.
//
// One YAML file, read strictly. [Load] gives either a configuration that is whole and consistent, or every problem that
// the file has, each with its line, its column and what to do about it. Secrets are never in the file: it names where
// they are. The package builds nothing and connects to nothing.
//
// What a setting means for an administrator stands in the jsonschema_description of its field, and nowhere else: the
// JSON Schema and docs/configuration.md are made from it.
package config

import (
	"net/netip"
	"slices"
	"time"
)

// Config is a validated configuration. Its paths are absolute, its defaults filled in.
type Config struct {
	Domain                  string               `yaml:"domain" jsonschema_description:"The gateway's host name: in greetings, in Received lines, and what clients connect to."`
	Store                   string               `yaml:"store,omitempty" jsonschema_description:"Where the state is kept: sqlite:FILE, for one machine, or postgres://USER@HOST/DATABASE, which several gateways can share. Default sqlite:postern.db."`
	StorePasswordFile       string               `yaml:"store_password_file,omitempty" jsonschema_description:"A file with the password of the PostgreSQL database. Others may not be able to read it."`
	StorePasswordEnv        string               `yaml:"store_password_env,omitempty" jsonschema_description:"Instead: an environment variable with the password."`
	StorePasswordCredential string               `yaml:"store_password_credential,omitempty" jsonschema_description:"Instead: the name of a systemd credential. Without any of them, PGPASSFILE and the other ways of libpq hold."`
	KeysFile                string               `yaml:"keys_file,omitempty" jsonschema_description:"The keys that seal tokens and key the hashes of app passwords; made with mode 0600 on the first start. Back it up apart from the store. Default postern.keys."`
	AuditFile               string               `yaml:"audit_file,omitempty" jsonschema_description:"The audit log, one JSON line for each decision. Default postern.audit."`
	Audit                   Audit                `yaml:"audit,omitempty" jsonschema_description:"How the files of the audit log are kept and signed."`
	Spool                   string               `yaml:"spool,omitempty" jsonschema_description:"The folder in which messages of more than 64 KB lie while they come in; made with mode 0700. Its files have no names and vanish with the process. Default postern.spool in the folder of the store; with PostgreSQL in that of this file."`
	AdminSocket             string               `yaml:"admin_socket,omitempty" jsonschema_description:"The unix socket over which postern session reaches the running gateway; root and the gateway's own user may. Default postern.sock in the folder of the store; with PostgreSQL in that of this file."`
	Limits                  ConnectionLimits     `yaml:"limits,omitempty" jsonschema_description:"How many connections clients may have."`
	Certificates            []Certificate        `yaml:"certificates,omitempty" jsonschema_description:"The certificates that listeners show. The one that fits the name that the client asked for is chosen."`
	Providers               map[string]*Provider `yaml:"providers" jsonschema_description:"Where tokens come from and where mail goes, by a name of your choice."`
	Listeners               []Listener           `yaml:"listeners" jsonschema_description:"The addresses on which clients are served."`
	Portal                  *Portal              `yaml:"portal,omitempty" jsonschema_description:"The pages on which people get their app passwords and administrators look after logins. Without it there are none."`
	Metrics                 *Metrics             `yaml:"metrics,omitempty" jsonschema_description:"Where monitoring finds figures, and whether the gateway is ready. Without it nowhere."`
	Policies                map[string]*Policy   `yaml:"policies" jsonschema_description:"Sets of rules for sessions, by a name of your choice."`
	Users                   []User               `yaml:"users" jsonschema_description:"Which login is for which mailbox. The first entry that fits a login decides."`

	// Digest is the SHA-256 of the file as it was read, in hex.
	Digest string `yaml:"-"`
	// Warnings are settings that are accepted and do less than they say.
	Warnings []Problem `yaml:"-"`
}

// ConnectionLimits bound the connections of clients, whoever they are.
type ConnectionLimits struct {
	Connections  int `yaml:"connections,omitempty" jsonschema_description:"Connections at once, in all. Default 24000; fewer where the system lets the gateway open fewer files."`
	PerSource    int `yaml:"connections_per_source,omitempty" jsonschema_description:"Of these, how many from one address (of IPv6, from one /64). Default half of connections."`
	BeforeSignIn int `yaml:"connections_before_sign_in,omitempty" jsonschema_description:"Of these, how many that have not signed in. One more takes the place of the oldest of the address that has most. Default half of connections."`
}

// TLSMode says how a listener protects its connections.
type TLSMode string

const (
	// Implicit: TLS from the first byte (RFC 8314).
	Implicit TLSMode = "implicit"
	// StartTLS: in clear until STARTTLS, which is demanded before a sign-in.
	StartTLS TLSMode = "starttls"
	// Optional: STARTTLS is offered, and a sign-in in clear is accepted.
	Optional TLSMode = "optional"
	// NoTLS: everything in clear; no STARTTLS is offered, for devices that take the offer and then fail.
	NoTLS TLSMode = "none"
)

// Listener is an address on which clients are served.
type Listener struct {
	Protocol      string         `yaml:"protocol" jsonschema:"enum=imap,enum=smtp" jsonschema_description:"What is spoken: imap or smtp."`
	Address       string         `yaml:"address" jsonschema_description:"host:port, or :port for every address of the machine."`
	Name          string         `yaml:"name,omitempty" jsonschema_description:"A name of your choice: a socket that systemd opens for the gateway under this FileDescriptorName= is served in the place of address. Without it, one with the same address is."`
	Advertise     string         `yaml:"advertise,omitempty" jsonschema_description:"host:port by which clients reach the listener, where that is not the domain and the port of address, such as behind a firewall that changes ports. The portal tells it to people."`
	TLS           TLSMode        `yaml:"tls" jsonschema:"enum=implicit,enum=starttls,enum=optional,enum=none" jsonschema_description:"implicit: TLS from the first byte. starttls: STARTTLS before a sign-in. optional: a sign-in in clear is accepted as well; none: all in clear, and no STARTTLS on offer; both need networks."`
	LegacyTLS     bool           `yaml:"legacy_tls,omitempty" jsonschema_description:"TLS 1.0 and 1.1 as well, with the cipher suites of that time, for old devices. Needs networks. Only app passwords that were issued with --legacy-tls count below TLS 1.2."`
	Networks      []netip.Prefix `yaml:"networks,omitempty" jsonschema_description:"Who may connect, such as 10.0.8.0/24. Nothing means everybody."`
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol,omitempty" jsonschema_description:"The load balancers that connect here, such as 10.0.9.4/32, each of which says by the PROXY protocol, version 1 or 2, before TLS, who its client is. Then nobody else may connect, and networks are those of the clients."`
	WithoutAuth   bool           `yaml:"without_auth,omitempty" jsonschema_description:"An SMTP client that does not sign in is the login whose without_auth has its address. Needs networks."`
	Profile       string         `yaml:"profile,omitempty" jsonschema:"enum=strict,enum=device,enum=ancient" jsonschema_description:"How exactly SMTP clients have to follow the standards: strict, device (the default) or ancient, which needs networks."`
}

// Policy is a named set of rules for sessions.
type Policy struct {
	Name      string         `yaml:"-"`
	Protocols []string       `yaml:"protocols" jsonschema:"enum=imap,enum=smtp" jsonschema_description:"What its logins may use: imap, smtp."`
	Networks  []netip.Prefix `yaml:"networks,omitempty" jsonschema_description:"From where its logins may sign in. Nothing means from everywhere."`
	MFA       MFA            `yaml:"mfa,omitempty" jsonschema_description:"What has to stand behind an app password."`
	Passwords Passwords      `yaml:"passwords,omitempty" jsonschema_description:"What a new app password is like."`
	Limits    Limits         `yaml:"limits,omitempty" jsonschema_description:"How much one login may do."`
	IMAP      IMAP           `yaml:"imap,omitempty" jsonschema_description:"What its logins may do in a mailbox by IMAP."`
	Send      Send           `yaml:"send,omitempty" jsonschema_description:"What its logins may send."`

	// Origins says where the settings that are set come from: the key of a setting, such as mfa.evidence → its place.
	Origins map[string]Origin `yaml:"-"`
}

// IMAP says what a login may do in its mailbox by IMAP. The zero value allows everything.
type IMAP struct {
	ReadOnly bool     `yaml:"read_only,omitempty" jsonschema_description:"Reading only: nothing in the mailbox changes, not even whether a message was read."`
	Folders  []string `yaml:"folders,omitempty" jsonschema_description:"The only folders that may be opened: names such as INBOX, or Scans/* for all that is below Scans. Nothing means all folders."`
}

// Passwords says what a new app password is like. Those that were issued already stay as they are.
type Passwords struct {
	Length  int      `yaml:"length,omitempty" jsonschema:"enum=16,enum=24" jsonschema_description:"Characters of a new app password: 24, or 16 for devices that take no more. Without it 24, and password issue may shorten one to 16."`
	MaxLife Duration `yaml:"max_life,omitempty" jsonschema:"type=string" jsonschema_description:"The longest that a new app password may be valid, such as 365d; also how long one is valid that is issued without a time. Without it, as long as is asked for."`
}

// MFA says which evidence of a second factor an app password needs, and for how long it counts.
type MFA struct {
	Evidence []string `yaml:"evidence,omitempty" jsonschema_description:"Accepted proofs of a second factor: totp, passkey, acrs:c1 to acrs:c99, amr:mfa; and command-line, the word of an administrator on the server. Nothing means that any of them will do."`
	MaxAge   Duration `yaml:"max_age,omitempty" jsonschema:"type=string" jsonschema_description:"How long a proof counts, such as 90d. After that the password is refused until its evidence is renewed; it stays the same. Nothing means for ever."`
}

// CommandLine is the evidence that an administrator gives on the server.
const CommandLine = "command-line"

// Accepts reports whether evidence that was had by a method will do.
func (m MFA) Accepts(method string) bool {
	return len(m.Evidence) == 0 || slices.Contains(m.Evidence, method)
}

// Aged reports whether evidence from at no longer counts.
func (m MFA) Aged(at, now time.Time) bool {
	return m.MaxAge > 0 && now.Sub(at) > time.Duration(m.MaxAge)
}

// Limits bound what one login may do. Zero means no limit of ours.
type Limits struct {
	Connections       int `yaml:"connections,omitempty" jsonschema_description:"Sessions at once."`
	MessagesPerMinute int `yaml:"messages_per_minute,omitempty" jsonschema_description:"Messages of a login in any 60 seconds. Further ones wait in the queue; with delivery: direct they are told to try again. Without it, only the mailbox's own limit (smtp_messages_per_minute of the provider) holds."`
	RecipientsPerDay  int `yaml:"recipients_per_day,omitempty" jsonschema_description:"Recipients of a login in 24 hours. A message with more of them is told to try again later. Without it, only the mailbox's own limit (smtp_recipients_per_day of the provider) holds."`
}

// What Send.From may be.
const (
	// PassSender: the login's own addresses pass, and nobody else's.
	PassSender = "pass"
	// RewriteSender: the mailbox takes the place of every sender that is not the login's own.
	RewriteSender = "rewrite"
	// RefuseSender: the mailbox's address, and nothing else.
	RefuseSender = "refuse"
)

// Send is the sending policy.
type Send struct {
	From       string   `yaml:"from,omitempty" jsonschema:"enum=pass,enum=rewrite,enum=refuse" jsonschema_description:"Who may be the sender, in MAIL and in the From and Sender fields. pass, the default: the mailbox, the account and the addresses of the user; others are refused. rewrite: others become the mailbox, and stay as Reply-To. refuse: the mailbox alone."`
	Recipients []string `yaml:"recipients,omitempty" jsonschema_description:"To whom may be sent: addresses, or *@domain. Nothing means to everybody."`
	MaxSize    Size     `yaml:"max_size,omitempty" jsonschema:"type=string" jsonschema_description:"The largest message, such as 35MB. Without it Exchange Online's 150MB; the mailbox's own limit is often less."`
	Delivery   string   `yaml:"delivery,omitempty" jsonschema:"enum=auto,enum=direct,enum=queue" jsonschema_description:"What happens to a message. auto: Exchange Online has the last word if it has one in time; otherwise the message waits in the queue. direct: without Exchange Online's word the client is told to try again. queue: every message is queued, which is answered quickest. Default auto."`
}

// User maps a login, or every login of a domain, to a mailbox and the account that opens it.
type User struct {
	Login       string         `yaml:"login,omitempty" jsonschema_description:"The name that the client types: an address, or any name."`
	Aliases     []string       `yaml:"aliases,omitempty" jsonschema_description:"Other names that the client may type instead of the login. They are the same login: its passwords, its limits, its lock."`
	Match       string         `yaml:"match,omitempty" jsonschema_description:"Instead of login: *@domain, for every login of a domain."`
	Mailbox     string         `yaml:"mailbox,omitempty" jsonschema_description:"The mailbox's address. Default: the login."`
	Addresses   []string       `yaml:"addresses,omitempty" jsonschema_description:"Further addresses that the login may send as, such as the mailbox's aliases, or *@domain. The mailbox needs Send As for them in Exchange Online."`
	WithoutAuth []netip.Prefix `yaml:"without_auth,omitempty" jsonschema_description:"The addresses from which an SMTP client is this login without AUTH, such as 10.0.8.17/32, on listeners with without_auth."`
	Account     string         `yaml:"account,omitempty" jsonschema_description:"With a delegated grant, the person whose token opens the mailbox, as their user principal name. Default: the mailbox."`
	Provider    string         `yaml:"provider" jsonschema_description:"The name of the provider."`
	Grant       string         `yaml:"grant" jsonschema:"enum=delegated,enum=application" jsonschema_description:"delegated: a person signed in once and consented. application: the gateway asks in its own name."`
	Policy      string         `yaml:"policy" jsonschema_description:"The name of the policy."`
	Override    *Policy        `yaml:"override,omitempty" jsonschema_description:"Settings of a policy that are different for this entry. What is left out stays as the policy has it."`

	// Line is where the entry begins in the file; 0 for a configuration that was not read from one.
	Line int `yaml:"-"`
	// Effective is the policy with the entry's override laid over it; nil where there is no override.
	Effective *Policy `yaml:"-"`
}
