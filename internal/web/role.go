package web

import (
	"net/netip"
	"slices"
	"strings"
)

// Role is what somebody is to the portal.
type Role string

const (
	// User has their own things.
	User Role = "user"
	// Auditor reads everything and changes nothing that is not theirs.
	Auditor Role = "auditor"
	// Operator keeps things running: cuts sessions off, locks logins, revokes; sees and makes no secrets.
	Operator Role = "operator"
	// Administrator does all of that, and issues the app passwords of devices.
	Administrator Role = "administrator"
)

// Permission is something that a role may do.
type Permission string

const (
	// OwnLogins: one's own app passwords, sessions, factors and recent sign-ins.
	OwnLogins Permission = "own-logins"
	// SeeLogins: everybody's logins with their state, app passwords and live sessions.
	SeeLogins Permission = "see-logins"
	// SeeEvents: recent events of the audit log.
	SeeEvents Permission = "see-events"
	// SeePolicies: the settings that a login's policy comes to, and where each was set.
	SeePolicies Permission = "see-policies"
	// CutSessions: end anybody's live sessions.
	CutSessions Permission = "cut-sessions"
	// LockLogins: lock and unlock logins.
	LockLogins Permission = "lock-logins"
	// RevokePasswords: revoke anybody's app passwords.
	RevokePasswords Permission = "revoke-passwords"
	// IssueForDevices: issue app passwords for device logins, and renew their evidence.
	IssueForDevices Permission = "issue-for-devices"
	// ResetFactors: remove the second factors of somebody who has lost them.
	ResetFactors Permission = "reset-factors"
)

// permissions is the table of who may do what. What is not in it is not allowed. Nobody may choose or read the secret of
// another person's password (threat model I-40): there is no permission for that.
var permissions = map[Role][]Permission{
	User:          {OwnLogins},
	Auditor:       {OwnLogins, SeeLogins, SeeEvents, SeePolicies},
	Operator:      {OwnLogins, SeeLogins, CutSessions, LockLogins, RevokePasswords},
	Administrator: {OwnLogins, SeeLogins, SeeEvents, SeePolicies, CutSessions, LockLogins, RevokePasswords, IssueForDevices, ResetFactors},
}

// May reports whether the role has a permission.
func (r Role) May(needed Permission) bool { return slices.Contains(permissions[r], needed) }

// appRoles are the application's roles in Entra, as the roles claim of an ID token names them, the greatest first.
var appRoles = []struct {
	name string
	role Role
}{
	{"Postern.Administrator", Administrator}, {"Postern.Operator", Operator}, {"Postern.Auditor", Auditor},
}

// roleOf gives the greatest role that somebody has, by the configuration or by the roles that their provider says they
// have. From outside the networks of the administration everybody is a user.
func (p *Portal) roleOf(who Person, from netip.Addr) Role {
	admin := p.config.Administration
	inside := func(n netip.Prefix) bool { return n.Contains(from.Unmap()) }
	if len(admin.Networks) > 0 && !slices.ContainsFunc(admin.Networks, inside) {
		return User
	}
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(name string) bool {
			return strings.EqualFold(name, who.ObjectID) || !who.Guest && strings.EqualFold(name, who.Username)
		})
	}
	lists := map[Role][]string{Administrator: admin.Administrators, Operator: admin.Operators, Auditor: admin.Auditors}
	for _, r := range appRoles {
		if named(lists[r.role]) || slices.Contains(who.AppRoles, r.name) {
			return r.role
		}
	}
	return User
}
