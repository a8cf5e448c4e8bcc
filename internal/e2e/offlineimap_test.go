package e2e

import (
	"fmt"
	"testing"
)

// offlineimapEach is how many messages each side has before OfflineIMAP's first run.
const offlineimapEach = 25

// offlineimapSyncs has OfflineIMAP keep a folder and a maildir alike.
func offlineimapSyncs(t *testing.T, g *gateway, user login) {
	offlineimap := need(t, "offlineimap")
	pair := &syncedPair{gateway: g, user: user, home: t.TempDir(), maildir: "mail/offlineimap", folder: "offlineimap"}
	pair.run = func(t *testing.T) {
		t.Helper()
		config := pair.offlineimapConfig(t)
		command{path: offlineimap, args: []string{"-c", config, "-o", "-u", "basic"}, home: pair.home}.must(t)
	}
	pair.keepAlike(t, offlineimapEach)
}

// offlineimapConfig has OfflineIMAP sync the one folder both ways.
func (p *syncedPair) offlineimapConfig(t *testing.T) string {
	t.Helper()
	return write(t, p.home, "offlineimaprc", fmt.Sprintf(`[general]
accounts = postern
metadata = %[1]s/state

[Account postern]
localrepository = local
remoterepository = upstream

[Repository local]
type = Maildir
localfolders = %[1]s/mail

[Repository upstream]
type = IMAP
remotehost = localhost
remoteport = %[2]s
remoteuser = %[3]s
remotepass = %[4]s
ssl = yes
sslcacertfile = %[5]s
maxconnections = 2
folderfilter = lambda name: name == %[6]q
`, p.home, port(t, p.gateway.IMAPS), p.user.Login, p.user.Password, p.gateway.CAFile, p.folder))
}
