package e2e

import (
	"fmt"
	"testing"
)

// mbsyncEach is how many messages each side has before mbsync's first run.
const mbsyncEach = 250

// mbsyncSyncs has mbsync keep a folder and a maildir alike.
func mbsyncSyncs(t *testing.T, g *gateway, user login) {
	mbsync := need(t, "mbsync")
	pair := &syncedPair{gateway: g, user: user, home: t.TempDir(), maildir: "mail", folder: "mbsync"}
	pair.run = func(t *testing.T) {
		t.Helper()
		config := pair.mbsyncConfig(t)
		command{path: mbsync, args: []string{"--config", config, "all"}, home: pair.home}.must(t)
	}
	pair.keepAlike(t, mbsyncEach)
}

// mbsyncConfig has mbsync sync everything both ways.
func (p *syncedPair) mbsyncConfig(t *testing.T) string {
	t.Helper()
	return write(t, p.home, "mbsyncrc", fmt.Sprintf(`IMAPAccount postern
Host localhost
Port %s
User %q
Pass %q
SSLType IMAPS
SystemCertificates no
CertificateFile %q
AuthMechs LOGIN

IMAPStore upstream
Account postern

MaildirStore local
Inbox %q
SubFolders Verbatim

Channel all
Far :upstream:%s
Near :local:INBOX
Sync All
Create Near
SyncState %q
`, port(t, p.gateway.IMAPS), p.user.Login, p.user.Password, p.gateway.CAFile, p.path(), p.folder, p.home+"/state-"))
}
