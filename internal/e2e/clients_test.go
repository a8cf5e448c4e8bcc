package e2e

import "testing"

// clients are what people read mail with. Each works in a folder of its own.
var clients = []struct {
	name string
	use  func(*testing.T, *gateway, login)
}{
	{"curl", curlReads},
	{"fetchmail", fetchmailFetches},
	{"go-imap", goimapPipelines},
	{"imaplib", imaplibWorks},
	{"mbsync", mbsyncSyncs},
	{"mutt", muttReads},
	{"offlineimap", offlineimapSyncs},
}

// TestClients has every client work through Postern, with the simulator and with a Dovecot as upstream.
func TestClients(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *gateway{
		"simulator": startDemo,
		"dovecot":   func(t *testing.T) *gateway { return overDovecot(t).gateway },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := open(t)
			for _, client := range clients {
				t.Run(client.name, func(t *testing.T) {
					t.Parallel()
					client.use(t, g, alice(t, g))
				})
			}
		})
	}
}
