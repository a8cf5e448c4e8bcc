package audit

// Event is one decision or action that the audit log keeps. Every kind of event is a type of the files event….go, so that
// they are the catalogue of all that the log can say.
//
// Events hold no secret: no field of theirs is a password, a token or a key.
type Event interface {
	// Kind is the event's name in the log, such as sign-in.
	Kind() string
	// Privileged events are synced to the disk before Record returns.
	Privileged() bool
}

// Outcome says how a decision went.
type Outcome string

const (
	Allowed Outcome = "allowed" // it happens
	Refused Outcome = "refused" // it does not; the reason says why
)

// GatewayStarted is a gateway that accepts connections from now on.
type GatewayStarted struct {
	Version   string   `json:"version"`   // of Postern
	Config    string   `json:"config"`    // SHA-256 of the configuration file, in hex
	Listeners []string `json:"listeners"` // each with its protocol, TLS and address
	// Asserted are the authentication contexts that the administrator says prove MFA, as provider:context.
	Asserted []string `json:"asserted_contexts,omitempty"`
	// Predecessor is the number of the process in whose place this one serves after an upgrade.
	Predecessor int `json:"predecessor,omitempty"`
}

// GatewayStopped is a gateway that came to an orderly end.
type GatewayStopped struct {
	Sessions  int `json:"sessions"`            // sessions that the stop cut off
	Successor int `json:"successor,omitempty"` // number of the process that serves in its place after an upgrade
}

func (GatewayStarted) Kind() string { return "gateway-started" }
func (GatewayStopped) Kind() string { return "gateway-stopped" }

func (GatewayStarted) Privileged() bool { return true }
func (GatewayStopped) Privileged() bool { return true }
