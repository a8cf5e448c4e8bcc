package audit

import "time"

// PasswordIssued is a new app password.
type PasswordIssued struct {
	ID        string     `json:"password_id"`
	Login     string     `json:"login"`
	Label     string     `json:"label"`                // what its owner or the administrator calls the device
	Protocols []string   `json:"protocols"`            // for which it is taken
	Networks  []string   `json:"networks,omitempty"`   // from where it is taken; from anywhere without
	LegacyTLS bool       `json:"legacy_tls,omitempty"` // it is taken on listeners with TLS below 1.2, too
	ReadOnly  bool       `json:"read_only,omitempty"`  // it does not let change anything in the mailbox
	Expires   *time.Time `json:"expires,omitempty"`    // when it ends; never without
	Evidence  string     `json:"evidence"`             // the method of the evidence behind it, such as totp, passkey or command-line
	By        string     `json:"by"`
}

// PasswordRenewed is new evidence behind an app password, which stays as it is.
type PasswordRenewed struct {
	ID       string `json:"password_id"`
	Login    string `json:"login"`
	Evidence string `json:"evidence"` // the method of the new evidence
	By       string `json:"by"`
}

// PasswordRevoked is an app password that is no longer accepted.
type PasswordRevoked struct {
	ID    string `json:"password_id"`
	Login string `json:"login"`
	By    string `json:"by"`
}

// LoginLocked is a login that may not sign in any more, whatever its password.
type LoginLocked struct {
	Login  string `json:"login"`
	Reason string `json:"reason,omitempty"` // in the words of who locked it
	By     string `json:"by"`
}

// LoginUnlocked is a login that may sign in again.
type LoginUnlocked struct {
	Login string `json:"login"`
	By    string `json:"by"`
}

func (PasswordIssued) Kind() string  { return "password-issued" }
func (PasswordRenewed) Kind() string { return "password-renewed" }
func (PasswordRevoked) Kind() string { return "password-revoked" }
func (LoginLocked) Kind() string     { return "login-locked" }
func (LoginUnlocked) Kind() string   { return "login-unlocked" }

func (PasswordIssued) Privileged() bool  { return true }
func (PasswordRenewed) Privileged() bool { return true }
func (PasswordRevoked) Privileged() bool { return true }
func (LoginLocked) Privileged() bool     { return true }
func (LoginUnlocked) Privileged() bool   { return true }
