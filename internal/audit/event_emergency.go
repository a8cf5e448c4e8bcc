package audit

// LockdownBegun: nobody within a scope may sign in or send any more. The password-revoked events that follow name the app
// passwords that were revoked with it.
type LockdownBegun struct {
	Scope  string `json:"scope"`            // login, policy or all
	Login  string `json:"login,omitempty"`  // where the scope is login
	Policy string `json:"policy,omitempty"` // where the scope is policy
	Reason string `json:"reason,omitempty"` // in the words of who began it
	By     string `json:"by"`
}

// LockdownLifted: they may again.
type LockdownLifted struct {
	Scope  string `json:"scope"`            // login, policy or all
	Login  string `json:"login,omitempty"`  // where the scope is login
	Policy string `json:"policy,omitempty"` // where the scope is policy
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

// KeysRotated: new keys are put into the keys file, and are the ones for what is new as soon as every gateway has them.
type KeysRotated struct {
	Signing bool   `json:"signing,omitempty"` // the key of this log's heads, too
	By      string `json:"by"`
}

// KeysResealed: everything that was sealed with old keys is sealed with the new one.
type KeysResealed struct {
	Seal    uint32 `json:"seal"`             // id of the key
	Records int    `json:"records"`          // under it
	Broken  int    `json:"broken,omitempty"` // that do not open
	By      string `json:"by"`
}

// KeysRetired: old keys are removed from the keys file.
type KeysRetired struct {
	Hashing bool   `json:"hashing,omitempty"` // those that hash, too
	By      string `json:"by"`
}

func (KeysRotated) Kind() string  { return "keys-rotated" }
func (KeysResealed) Kind() string { return "keys-resealed" }
func (KeysRetired) Kind() string  { return "keys-retired" }

func (KeysRotated) Privileged() bool  { return true }
func (KeysResealed) Privileged() bool { return true }
func (KeysRetired) Privileged() bool  { return true }

// BackupMade: somebody makes a copy of the store.
type BackupMade struct {
	File string `json:"file"` // its name, without folders
	By   string `json:"by"`
}

// RestoredReleased: messages that came with a restored store, and may have been sent since its backup, are let go.
type RestoredReleased struct {
	Messages int    `json:"messages"` // how many
	By       string `json:"by"`
}

func (BackupMade) Kind() string       { return "backup-made" }
func (RestoredReleased) Kind() string { return "restored-released" }

func (BackupMade) Privileged() bool       { return true }
func (RestoredReleased) Privileged() bool { return true }
