package audit

// LockdownBegun: nobody within a scope may sign in or send any more. The password-revoked events that follow name the app
// passwords that were revoked with it.
type LockdownBegun struct {
	Scope  string `json:"scope"`            // login, policy or all
	Login  string `json:"login,omitempty"`  // of the scope login
	Policy string `json:"policy,omitempty"` // of the scope policy
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
}

// LockdownLifted: they may again.
type LockdownLifted struct {
	Scope  string `json:"scope"`
	Login  string `json:"login,omitempty"`
	Policy string `json:"policy,omitempty"`
	By     string `json:"by"`
}

// TokensForgotten: what the gateway keeps of an account's sign-in is removed, so that its person has to sign in again; of
// the application, what it was last given, so that it asks anew.
type TokensForgotten struct {
	Provider string `json:"provider"`
	Grant    string `json:"grant"`
	Account  string `json:"account,omitempty"`
	By       string `json:"by"`
}

func (LockdownBegun) Kind() string   { return "lockdown-begun" }
func (LockdownLifted) Kind() string  { return "lockdown-lifted" }
func (TokensForgotten) Kind() string { return "tokens-forgotten" }

func (LockdownBegun) Privileged() bool   { return true }
func (LockdownLifted) Privileged() bool  { return true }
func (TokensForgotten) Privileged() bool { return true }
