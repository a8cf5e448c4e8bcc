package export

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"postern/internal/audit"
	"postern/internal/terminal"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework whose classes these are (schema.ocsf.io).
const ocsfVersion = "1.3.0"

// class is a class of OCSF with one of its activities.
type class struct {
	uid, activity int
}

// Classes: Base Event, Account Change, Authentication, Authorize Session, Entity Management, Email Activity, Application Lifecycle. Each
// activity is by the number that the class gives it; 99 is "other".
var (
	other          = class{0, 99}
	logon          = class{3002, 1}
	logoff         = class{3002, 2}
	userCreated    = class{3001, 1}
	passwordChange = class{3001, 3}
	userDisabled   = class{3001, 5}
	userLocked     = class{3001, 9}
	factorEnabled  = class{3001, 10}
	factorDisabled = class{3001, 11}
	userUnlocked   = class{3001, 12}
	userOther      = class{3001, 99}
	emailSent      = class{4009, 1}
	emailTraced    = class{4009, 4}
	started        = class{6002, 3}
	stopped        = class{6002, 4}
	updated        = class{6002, 8}
)

// classes says which class each kind of event is; what is not here is a base event.
var classes = map[string]class{
	audit.SignIn{}.Kind(): logon, audit.SignInsRefused{}.Kind(): logon, audit.SessionBegin{}.Kind(): {3003, 99}, audit.SessionEnd{}.Kind(): logoff,
	audit.PortalSignIn{}.Kind(): logon, audit.PortalSignOut{}.Kind(): logoff, audit.SessionsCut{}.Kind(): {3002, 99},
	audit.FactorProven{}.Kind(): {3002, 99}, audit.FactorRefused{}.Kind(): {3002, 99},
	audit.AccountEnrolled{}.Kind(): userCreated, audit.EnrolmentRefused{}.Kind(): userCreated, audit.AccountRechecked{}.Kind(): userOther,
	audit.PasswordIssued{}.Kind(): passwordChange, audit.PasswordRenewed{}.Kind(): userOther, audit.PasswordRevoked{}.Kind(): userDisabled,
	audit.LoginLocked{}.Kind(): userLocked, audit.LoginUnlocked{}.Kind(): userUnlocked,
	audit.FactorEnrolled{}.Kind(): factorEnabled, audit.FactorRemoved{}.Kind(): factorDisabled, audit.FactorsReset{}.Kind(): factorDisabled, audit.FactorRenamed{}.Kind(): userOther,
	audit.Message{}.Kind(): emailSent, audit.MessageDelivered{}.Kind(): emailSent, audit.MessageBounced{}.Kind(): emailSent, audit.MessageDelayed{}.Kind(): emailTraced,
	audit.MessageHeld{}.Kind(): emailTraced, audit.MessageReleased{}.Kind(): emailTraced, audit.MessageDropped{}.Kind(): emailTraced,
	audit.GatewayStarted{}.Kind(): started, audit.GatewayStopped{}.Kind(): stopped, audit.GatewayUpgrade{}.Kind(): updated,
}

// event is an event of OCSF, with what the classes of ours have in common. Its names are the schema's.
type event struct {
	Activity int             `json:"activity_id"`
	Category int             `json:"category_uid"`
	Class    int             `json:"class_uid"`
	Type     int             `json:"type_uid"`
	Time     int64           `json:"time"` // milliseconds
	Severity int             `json:"severity_id"`
	Status   int             `json:"status_id"` // 1 success, 2 failure
	Detail   string          `json:"status_detail,omitempty"`
	Message  string          `json:"message"`
	Metadata metadata        `json:"metadata"`
	User     *user           `json:"user,omitempty"`
	Actor    *actor          `json:"actor,omitempty"`
	Source   *endpoint       `json:"src_endpoint,omitempty"`
	Session  *session        `json:"session,omitempty"`
	Email    *email          `json:"email,omitempty"`
	Way      int             `json:"direction_id,omitempty"` // 2: outbound
	Trace    string          `json:"message_trace_uid,omitempty"`
	App      *product        `json:"app,omitempty"`
	Unmapped json.RawMessage `json:"unmapped,omitempty"` // every field of ours, by our names
}

type metadata struct {
	Version  string  `json:"version"`
	Product  product `json:"product"`
	Sequence int64   `json:"sequence"`
	Code     string  `json:"event_code"`
	Log      string  `json:"log_name"`
}

type product struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version"`
}

type user struct {
	Name  string `json:"name,omitempty"`
	UID   string `json:"uid,omitempty"`
	Email string `json:"email_addr,omitempty"`
}

type actor struct {
	User user `json:"user"`
}

type endpoint struct {
	IP   string `json:"ip"`
	Port int    `json:"port,omitempty"`
}

type session struct {
	UID string `json:"uid"`
}

type email struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	Size int64    `json:"size,omitempty"`
}

// ocsf gives an entry as a line of JSON that an OCSF reader takes.
func ocsf(e audit.Entry, version string) ([]byte, error) {
	s, err := read(e)
	if err != nil {
		return nil, err
	}
	c, known := classes[e.Kind]
	if !known {
		c = other
	}
	us := product{Name: "Postern", Vendor: "Postern", Version: version}
	out := event{
		Activity: c.activity, Category: c.uid / 1000, Class: c.uid, Type: c.uid*100 + c.activity, Time: e.Time.UnixMilli(), Severity: 1, Status: 1,
		Detail: strings.TrimSpace(s.Reason + " " + s.Detail), Message: strings.ReplaceAll(e.Kind, "-", " "),
		Metadata: metadata{Version: ocsfVersion, Product: us, Sequence: e.Seq, Code: e.Kind, Log: "audit"},
	}
	if failed(e, s) {
		out.Severity, out.Status = 2, 2
	}
	if out.Unmapped, err = rest(e); err != nil {
		return nil, err
	}
	out.people(c, s)
	if c.uid == emailSent.uid {
		out.Email, out.Way, out.Trace = &email{From: s.Sender, To: append([]string{}, s.Recipients...), Size: s.Size}, 2, s.Queue
	}
	if c.uid == started.uid {
		out.App = &us
	}
	line, err := json.Marshal(out)
	return append(terminal.JSON(line), '\n'), err
}

// people says who did it, to whom, and from where. The classes of identity demand a user.
func (out *event) people(c class, s says) {
	name := s.Login
	for _, next := range []string{s.Username, s.Account} {
		if name == "" {
			name = next
		}
	}
	if name != "" || s.ObjectID != "" || c.uid/1000 == 3 {
		out.User = &user{Name: name, UID: s.ObjectID, Email: s.Mailbox}
		if name == "" && s.ObjectID == "" {
			out.User.Name = "unknown"
		}
	}
	if s.By != "" {
		out.Actor = &actor{User: user{Name: s.By}}
	}
	if host, port, err := net.SplitHostPort(s.Remote); err == nil {
		n, _ := strconv.Atoi(port) // zero is left out
		out.Source = &endpoint{IP: host, Port: n}
	}
	if s.Session != "" {
		out.Session = &session{UID: s.Session}
	}
}
