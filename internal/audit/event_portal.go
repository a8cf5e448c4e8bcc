package audit

// PortalSignIn is an attempt to sign in to the portal that came back from the provider.
type PortalSignIn struct {
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"` // why refused: one of [web.reason]; portal.md says what each means
	Detail   string  `json:"detail,omitempty"` // the provider's own word for it, such as access_denied AADSTS50105
	Provider string  `json:"provider"`
	Username string  `json:"username,omitempty"` // as the provider calls the person
	TenantID string  `json:"tid,omitempty"`
	ObjectID string  `json:"oid,omitempty"`
	Role     string  `json:"role,omitempty"`     // what the person may: user, auditor, operator or administrator
	Evidence string  `json:"evidence,omitempty"` // methods that the sign-in itself proved
	Remote   string  `json:"remote"`
}

// PortalSignOut is a person who signed out of the portal.
type PortalSignOut struct {
	Everywhere bool   `json:"everywhere,omitempty"` // in all browsers of the person
	By         string `json:"by"`
}

// PortalRefused is a request to the portal that its sender's role does not allow.
type PortalRefused struct {
	Permission string `json:"permission"` // that the role does not have
	Method     string `json:"method"`     // of HTTP
	Path       string `json:"path"`       // that was asked for
	By         string `json:"by"`
}

// EventsExported are lines of this log that somebody takes away from the portal.
type EventsExported struct {
	Count  int    `json:"count"`            // how many lines
	Filter string `json:"filter,omitempty"` // what they are, as the query of the page's address
	By     string `json:"by"`
}

func (PortalSignIn) Kind() string   { return "portal-sign-in" }
func (PortalSignOut) Kind() string  { return "portal-sign-out" }
func (PortalRefused) Kind() string  { return "portal-refused" }
func (EventsExported) Kind() string { return "events-exported" }

func (PortalSignIn) Privileged() bool   { return true }
func (PortalSignOut) Privileged() bool  { return true }
func (PortalRefused) Privileged() bool  { return true }
func (EventsExported) Privileged() bool { return true }
