package imapproxy

import (
	"slices"
	"strings"
)

// capabilities gives what the gateway offers a client that has not signed in: only what works now (RFC 9051 section
// 6.1.1).
func (d *dialogue) capabilities() string {
	list := []string{"IMAP4rev1", "LITERAL+", "ID"}
	if d.conn.StartTLS != nil {
		list = append(list, "STARTTLS")
	}
	if d.conn.MaySignIn() {
		list = append(list, "SASL-IR", "AUTH=PLAIN", "AUTH=LOGIN")
	} else {
		list = append(list, "LOGINDISABLED")
	}
	return strings.Join(list, " ")
}

// compose makes of upstream's capabilities those that a signed-in client is told: without what belongs to signing in,
// which is over; without what would change the bytes that the gateway relays; without the words that Exchange's front
// ends say to each other (reference B.2); and for a session with rules, without what they never let it use (threat model
// I-14).
func compose(upstream []string, r *rules) []string {
	composed := make([]string, 0, len(upstream))
	for _, capability := range upstream {
		name := strings.ToUpper(capability)
		if !dropped(name) && !r.withholds(name) && !slices.Contains(composed, capability) {
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

// Capabilities whose commands the rules refuse: to every session that has rules, and to one that may only read.
var (
	unruly  = []string{"NOTIFY", "METADATA", "METADATA-SERVER", "MULTISEARCH", "URLAUTH", "URLAUTH=BINARY", "CATENATE", "REPLACE", "QUOTASET"}
	writing = []string{"MOVE", "MULTIAPPEND", "UIDPLUS", "CREATE-SPECIAL-USE"}
)

// withholds reports whether a session with these rules, or with none, is not told of a capability.
func (r *rules) withholds(capability string) bool {
	return r != nil && (slices.Contains(unruly, capability) || r.readOnly && slices.Contains(writing, capability))
}
