package imapproxy

import (
	"slices"
	"strings"
)

// capabilities gives what the gateway offers a client that has not signed in: only what works now (RFC 9051 section
// 6.1.1).
func (d *dialogue) capabilities() string {
	list := []string{"IMAP4rev1", "SASL-IR", "LITERAL+", "ID"}
	if d.conn.StartTLS != nil {
		list = append(list, "STARTTLS")
	}
	if d.conn.MaySignIn() {
		list = append(list, "AUTH=PLAIN", "AUTH=LOGIN")
	} else {
		list = append(list, "LOGINDISABLED")
	}
	return strings.Join(list, " ")
}

// compose makes of upstream's capabilities those that a signed-in client is told: without what belongs to signing in,
// which is over; without what would change the bytes that the gateway relays; without the words that Exchange's front
// ends say to each other (reference B.2).
func compose(upstream []string) []string {
	composed := make([]string, 0, len(upstream))
	for _, capability := range upstream {
		if name := strings.ToUpper(capability); !dropped(name) && !slices.Contains(composed, capability) {
			composed = append(composed, capability)
		}
	}
	return composed
}

func dropped(capability string) bool {
	switch capability {
	case "LOGINDISABLED", "STARTTLS", "SASL-IR", "UNAUTHENTICATE", "CLIENTACCESSRULES", "CLIENTNETWORKPRESENCELOCATION":
		return true
	}
	for _, prefix := range []string{"AUTH=", "COMPRESS=", "BACKENDAUTHENTICATE"} {
		if strings.HasPrefix(capability, prefix) {
			return true
		}
	}
	return false
}
