package audit

// Factor is a person's second factor, as each event about one has it. The tenant's and the object's id say whose it is;
// the account is a label.
type Factor struct {
	ID       string `json:"factor_id,omitempty"` // of the factor
	Method   string `json:"method"`              // totp or passkey
	Name     string `json:"name,omitempty"`      // what its owner calls it
	Account  string `json:"account"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Remote   string `json:"remote"`
}

// FactorEnrolled is a new second factor of a person.
type FactorEnrolled struct {
	Factor
	First bool `json:"first,omitempty"` // the person had none: it rests on the sign-in at the provider alone
}

// FactorRenamed is a second factor that gets another name from its owner.
type FactorRenamed struct {
	Factor
	Before string `json:"before"` // the name until then
}

// FactorRemoved is a second factor that its owner removes.
type FactorRemoved struct{ Factor }

// FactorProven is a person who has proved a second factor.
type FactorProven struct{ Factor }

// FactorRefused is a proof, or an enrolment, of a second factor that was not accepted.
type FactorRefused struct {
	Factor
	Reason string `json:"reason"`           // one of [factor.Reason]
	Detail string `json:"detail,omitempty"` // what did not fit
}

// FactorsReset are all second factors of a person that an administrator removes.
type FactorsReset struct {
	Account  string `json:"account"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Count    int    `json:"count"` // how many
	By       string `json:"by"`
}

func (FactorEnrolled) Kind() string { return "factor-enrolled" }
func (FactorRenamed) Kind() string  { return "factor-renamed" }
func (FactorRemoved) Kind() string  { return "factor-removed" }
func (FactorProven) Kind() string   { return "factor-proven" }
func (FactorRefused) Kind() string  { return "factor-refused" }
func (FactorsReset) Kind() string   { return "factors-reset" }

func (FactorEnrolled) Privileged() bool { return true }
func (FactorRenamed) Privileged() bool  { return true }
func (FactorRemoved) Privileged() bool  { return true }
func (FactorProven) Privileged() bool   { return true }
func (FactorRefused) Privileged() bool  { return false }
func (FactorsReset) Privileged() bool   { return true }
