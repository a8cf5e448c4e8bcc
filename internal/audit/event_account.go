package audit

import "time"

// TokenRefreshed is a new access token for an account.
type TokenRefreshed struct {
	Provider string    `json:"provider"`
	Grant    string    `json:"grant"`
	Account  string    `json:"account,omitempty"`
	Expires  time.Time `json:"expires"` // when the token ends
}

// TokenRefused is a request for an access token that failed. What the provider said of it finds it in the provider's own log.
type TokenRefused struct {
	Provider      string `json:"provider"`
	Grant         string `json:"grant"`
	Account       string `json:"account,omitempty"`
	Class         string `json:"class"`                    // one of [token.Class]
	Code          string `json:"code,omitempty"`           // the provider's error word, such as invalid_grant; not_enrolled where nobody has signed in
	Suberror      string `json:"suberror,omitempty"`       // what refines the code, such as consent_required
	AADSTS        []int  `json:"aadsts,omitempty"`         // Entra's numbers for the failure
	Advice        string `json:"advice,omitempty"`         // what is wrong and what mends it
	CorrelationID string `json:"correlation_id,omitempty"` // of the request, in Entra's sign-in log
	TraceID       string `json:"trace_id,omitempty"`       // likewise
}

// AccountEnrolled is a person's account whose tokens the gateway now keeps, because the person has signed in for it.
type AccountEnrolled struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Method   string `json:"method"` // device-code or authorization-code
	By       string `json:"by"`
}

// AccountRechecked is an account about which somebody has the provider asked again, whatever was refused before (postern user recheck). The
// outcome is the next event of a token.
type AccountRechecked struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	By       string `json:"by"`
}

// EnrolmentRefused is a sign-in that was not accepted for the account it was meant for. Its tokens are discarded.
type EnrolmentRefused struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Reason   string `json:"reason"`              // why, in words
	SignedIn string `json:"signed_in,omitempty"` // who did sign in, as the provider calls them
	By       string `json:"by"`
}

func (TokenRefreshed) Kind() string   { return "token-refreshed" }
func (TokenRefused) Kind() string     { return "token-refused" }
func (AccountEnrolled) Kind() string  { return "account-enrolled" }
func (AccountRechecked) Kind() string { return "account-rechecked" }
func (EnrolmentRefused) Kind() string { return "enrolment-refused" }

func (TokenRefreshed) Privileged() bool   { return false }
func (TokenRefused) Privileged() bool     { return false }
func (AccountEnrolled) Privileged() bool  { return true }
func (AccountRechecked) Privileged() bool { return true }
func (EnrolmentRefused) Privileged() bool { return true }
