package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/diagnosis"
)

// The checks of a provider.
const (
	checkAuthority  = "authority"
	checkClock      = "clock"
	checkTenant     = "tenant"
	checkCredential = "credential"
	checkAccepted   = "sign-in"
	checkIMAPServer = "imap server"
	checkSMTPServer = "smtp server"
	checkLimits     = "limits"
)

// reach says how far one gets at a provider: what fails here need not be tried with every login.
type reach struct {
	imap, smtp bool
	authority  bool
	// application is why the application's own token is not to be had; nil when it is, or was not asked for.
	application error
}

func (p *Plan) provider(ctx context.Context, provider Provider) ([]Line, reach) {
	ctx, cancel := context.WithTimeout(ctx, subjectTime)
	defer cancel()
	s := &sheet{subject: "provider " + provider.Name}
	var r reach
	p.credential(s, provider)
	p.limits(s, provider)
	if p.Offline {
		s.skipRest([]string{checkAuthority, checkClock, checkTenant, checkAccepted, checkIMAPServer, checkSMTPServer}, "offline")
		return s.lines, r
	}
	r.authority = p.authority(ctx, s, provider)
	s.skipRest([]string{checkClock, checkTenant}, "the authority was not reached")
	switch {
	case !r.authority:
		s.skip(checkAccepted, "the authority or the tenant is not there")
	case !provider.Settings.HasCredential():
		s.skip(checkAccepted, "a public client: people sign in, and the application does not")
	default:
		r.application = p.accepted(ctx, s, provider)
	}
	seen, failed := reachIMAP(ctx, provider.IMAP.Address, provider.IMAP.TLS)
	r.imap = s.reached(checkIMAPServer, seen, failed)
	seen, failed = reachSMTP(ctx, provider.SMTP.Address, p.Config.Domain, provider.SMTP.TLS)
	r.smtp = s.reached(checkSMTPServer, seen, failed)
	return s.lines, r
}

func (s *sheet) reached(check, seen string, failed *fault) bool {
	if failed != nil {
		s.failed(check, failed)
		return false
	}
	s.ok(check, "%s", seen)
	return true
}

// maxDocument bounds what is read of a discovery document, in bytes.
const maxDocument = 256 << 10

// authority asks for the tenant's discovery document (reference F.1), which shows whether the authority is reached, what time it
// is there, and whether there is such a tenant.
func (p *Plan) authority(ctx context.Context, s *sheet, provider Provider) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	endpoint, err := url.Parse(provider.Settings.Resolve().Authority)
	if err != nil || endpoint.Host == "" {
		s.add(checkAuthority, Failed, "correct endpoints.authority of the provider", "", "not a URL: %s", provider.Settings.Resolve().Authority)
		return false
	}
	address := endpoint.Host
	if endpoint.Port() == "" {
		address += ":443"
	}
	conn, failed := dial(ctx, address)
	if failed != nil {
		s.failed(checkAuthority, failed)
		return false
	}
	_ = conn.Close()
	settings := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: provider.IMAP.TLS.RootCAs}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String()+"/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		s.add(checkAuthority, Failed, "correct endpoints.authority of the provider", "", "%v", err)
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			err = certificate.Err
		}
		s.failed(checkAuthority, tlsFault(endpoint.Hostname(), err))
		return false
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err != nil {
		s.add(checkAuthority, Failed, "", "", "the answer of %s breaks off: %s", endpoint.Host, plainError(err))
		return false
	}
	s.ok(checkAuthority, "%s; %s", endpoint.Host, secured(*response.TLS))
	p.clock(s, response.Header.Get("Date"))
	return s.tenant(provider, response.StatusCode, content)
}

const (
	// maxSkew is how far the clock may be off before Entra refuses assertions and ID tokens are refused here (reference F.4).
	maxSkew = 5 * time.Minute
	// noticeableSkew is from where on it is worth a word.
	noticeableSkew = 30 * time.Second
)

// clock compares the authority's time with ours.
func (p *Plan) clock(s *sheet, date string) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		s.skip(checkClock, "the authority does not say what time it is")
		return
	}
	off := p.Now().Sub(theirs).Round(time.Second)
	verdict, fix, command := OK, "", ""
	if off.Abs() > noticeableSkew {
		verdict, fix, command = Warning, "switch time synchronisation on; beyond five minutes sign-ins fail", "timedatectl set-ntp true"
	}
	if off.Abs() > maxSkew {
		verdict = Failed
	}
	s.add(checkClock, verdict, fix, command, "this machine's clock and the authority's differ by %s", off.Abs())
}

var aadsts = regexp.MustCompile(`AADSTS([0-9]{4,9})`)

// tenant reads what the authority says of the tenant.
func (s *sheet) tenant(provider Provider, status int, content []byte) bool {
	var document struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	if json.Unmarshal(content, &document) == nil && status == http.StatusOK && document.Issuer != "" && document.TokenEndpoint != "" {
		s.ok(checkTenant, "%s is there; its issuer is %s", provider.Settings.Tenant, document.Issuer)
		return true
	}
	about := diagnosis.Subject{App: provider.Settings.ClientID, Provider: provider.Name, Tenant: provider.Settings.Tenant}
	if m := aadsts.FindSubmatch(content); m != nil {
		number, _ := strconv.Atoi(string(m[1])) // at most nine digits
		if d, _, known := diagnosis.Entra(number, about); known {
			s.add(checkTenant, Failed, d.Fix, d.Command, "AADSTS%d: %s", number, d.Cause)
			return false
		}
	}
	s.add(checkTenant, Failed, "look for a proxy or a portal between here and there, and check endpoints.authority", "",
		"the authority answers HTTP %d, with no discovery document", status)
	return false
}

const (
	// soon is from when on an end is worth a warning, and verySoon a failure is near.
	soon = 30 * 24 * time.Hour
)

// credential looks at the application's credential: that it is readable and shut away from others is the configuration's to say,
// which would not have loaded.
func (p *Plan) credential(s *sheet, provider Provider) {
	settings := provider.Settings
	again := diagnosisCommand(7000222, provider)
	switch certificate, err := settings.ClientCertificate(); {
	case err != nil:
		s.add(checkCredential, Failed, "correct client_certificate_file of the provider", "", "%v", err)
	case !certificate.IsZero():
		leaf, err := firstCertificate([]byte(certificate.Reveal()))
		if err != nil {
			s.add(checkCredential, Failed, "put the certificate and its RSA key into the file, in PEM", "", "the client certificate: %v", err)
			return
		}
		s.ends(checkCredential, "client certificate "+leaf.Subject.String(), leaf.NotAfter, p.Now(),
			"upload a new one beside it, then put it into the file", diagnosisCommand(700027, provider))
	case settings.HasSecret() && !settings.ClientSecretExpires.IsZero():
		s.ends(checkCredential, "client secret", settings.ClientSecretExpires.Time, p.Now(), "make a new one, and put its end into client_secret_expires", again)
	case settings.HasSecret():
		s.add(checkCredential, OK, "put its end into client_secret_expires, so that postern forecast can tell", "az ad app credential list --id "+settings.ClientID,
			"a client secret, which does not tell when it ends")
	case settings.ClientAssertionFile != "", settings.ManagedIdentity != "":
		s.ok(checkCredential, "the platform's; it does not end")
	default:
		s.ok(checkCredential, "none: a public client")
	}
}

func diagnosisCommand(number int, provider Provider) string {
	d, _, _ := diagnosis.Entra(number, diagnosis.Subject{App: provider.Settings.ClientID, Provider: provider.Name, Tenant: provider.Settings.Tenant})
	return d.Command
}

// ends judges when something ends.
func (s *sheet) ends(check, what string, at, now time.Time, fix, command string) {
	day := at.Local().Format(time.DateOnly)
	switch left := at.Sub(now); {
	case left <= 0:
		s.add(check, Failed, fix, command, "%s ended on %s", what, day)
	case left < soon:
		s.add(check, Warning, fix, command, "%s ends on %s, in %d days", what, day, int(left.Hours()/24))
	default:
		s.ok(check, "%s, until %s", what, day)
	}
}

// firstCertificate gives the first certificate of a PEM text.
func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("there is no certificate in it")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

// accepted has the application itself sign in, whether or not a login needs that: it shows whether its credential is taken.
func (p *Plan) accepted(ctx context.Context, s *sheet, provider Provider) error {
	account := token.Account{Provider: provider.Name, Grant: token.Application}
	err := p.Tokens.Use(ctx, account, func(_ context.Context, access token.Access) error {
		s.ok(checkAccepted, "Entra takes the application's credential; its token lasts until %s", access.Expires.Local().Format(time.TimeOnly))
		return nil
	})
	if err != nil {
		s.failed(checkAccepted, tokenFault(err, provider.Settings, account))
	}
	return err
}

// tokenFault explains why there is no token.
func tokenFault(err error, settings *config.Provider, account token.Account) *fault {
	var failed *token.Error
	if !errors.As(err, &failed) {
		return &fault{seen: err.Error()}
	}
	about := diagnosis.Subject{App: settings.ClientID, Provider: account.Provider, Tenant: settings.Tenant, Account: account.Name}
	for _, number := range failed.AADSTS {
		if d, _, known := diagnosis.Entra(number, about); known {
			return &fault{fmt.Sprintf("AADSTS%d: %s", number, d.Cause), d.Fix, d.Command}
		}
	}
	seen := "no token: " + string(failed.Class)
	if failed.Code != "" {
		seen += ": " + failed.Code
	}
	for _, number := range failed.AADSTS {
		seen += fmt.Sprintf(" AADSTS%d", number)
	}
	return &fault{seen: seen, fix: failed.Advice}
}

// limits holds the provider's limits against what Exchange Online allows a mailbox (reference C).
func (p *Plan) limits(s *sheet, provider Provider) {
	settings := provider.Settings
	for _, limit := range []struct {
		key         string
		is, allowed int
	}{
		{"smtp_connections", settings.SMTPConnections, 3},
		{"smtp_messages_per_minute", settings.SMTPMessages, 30},
		{"smtp_recipients_per_day", settings.SMTPRecipients, 10000},
	} {
		if limit.is > limit.allowed && settings.Endpoints.SMTP == "" {
			s.add(checkLimits, Warning, "leave "+limit.key+" out", "", "%s is %d; Exchange Online allows a mailbox %d", limit.key, limit.is, limit.allowed)
			return
		}
	}
	s.ok(checkLimits, "%d connections, %d messages a minute and %d recipients a day for each mailbox", settings.SMTPConnections, settings.SMTPMessages,
		settings.SMTPRecipients)
}
