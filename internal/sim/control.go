package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"postern/internal/sim/entra"
	"postern/internal/sim/tenant"
)

// control is the control endpoint, to be served under /sim/ on Entra's listener:
//
//	POST   /sim/faults          a [tenant.Fault], its delay as in "1.5s"
//	DELETE /sim/faults          take all faults back
//	GET    /sim/state           the tenant, its people with what they sign in with, device codes that wait
//	GET    /sim/tokens          how many token requests came, and the refresh tokens that were issued
//	POST   /sim/device/approve  {"user_code", "account"}
//	POST   /sim/revoke          {"account"}: refresh tokens stop working
//	POST   /sim/expire          access tokens stop working
//	POST   /sim/person          {"account", "mfa", "disabled", "roles"}: what is given is set; roles are app roles of "Postern"
//	POST   /sim/application     {"redirect_uris", "assignment_required"}: what is given is set, of "Postern"
//	POST   /sim/mailbox         {"address", "imap_disabled", "smtp_auth_disabled"}: switches that are given are set
//
// An answer is JSON, {"error": …} where something is wrong, or empty with status 204.
func (s *Sim) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /faults", s.orderFault)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Tenant.Faults.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.stateNow()) })
	mux.HandleFunc("GET /tokens", s.issuedTokens)
	mux.HandleFunc("POST /device/approve", s.approveDevice)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, r *http.Request) {
		s.Entra.ExpireTokens()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /person", s.changePerson)
	mux.HandleFunc("POST /application", s.changeApplication)
	mux.HandleFunc("POST /mailbox", s.switchMailbox)
	return mux
}

// issuedTokens tells what was issued, so that a test can look for it where it must not be.
func (s *Sim) issuedTokens(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Requests int64    `json:"requests"`
		Refresh  []string `json:"refresh"`
	}{Requests: s.Entra.TokenRequests()}
	for _, token := range s.Entra.RefreshTokens() {
		answer.Refresh = append(answer.Refresh, token.Reveal())
	}
	write(w, http.StatusOK, answer)
}

// loopbackOnly refuses clients of other machines, and what a web page could have its reader's browser send: that is
// never JSON.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			refuse(w, http.StatusForbidden, "the control endpoint serves clients on this machine only")
			return
		}
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if r.Method == http.MethodPost && kind != "application/json" {
			refuse(w, http.StatusUnsupportedMediaType, "send the header Content-Type: application/json")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// orderedFault is a fault as it is ordered: with a delay that people can read.
type orderedFault struct {
	tenant.Fault
	Delay string `json:"delay"`
}

// points are the places where a fault can be ordered.
var points = map[tenant.Point]bool{
	tenant.TokenEndpoint: true, tenant.IMAPConnect: true, tenant.IMAPAuth: true, tenant.IMAPCommand: true, tenant.SMTPConnect: true,
	tenant.SMTPAuth: true, tenant.SMTPMail: true, tenant.SMTPRcpt: true, tenant.SMTPData: true, tenant.SMTPEnd: true, tenant.SMTPSent: true,
}

func (s *Sim) orderFault(w http.ResponseWriter, r *http.Request) {
	var order orderedFault
	if !read(w, r, &order) {
		return
	}
	if !points[order.Point] {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("point %q: is none; see tenant.Point", order.Point))
		return
	}
	fault := order.Fault
	if order.Delay != "" {
		var err error
		if fault.Delay, err = time.ParseDuration(order.Delay); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("delay %q: must be a number with a unit, such as 1.5s", order.Delay))
			return
		}
	}
	s.Tenant.Faults.Add(fault)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) approveDevice(w http.ResponseWriter, r *http.Request) {
	var order struct {
		UserCode string `json:"user_code"`
		Account  string `json:"account"`
	}
	if !read(w, r, &order) {
		return
	}
	if err := s.Entra.ApproveDevice(order.UserCode, order.Account); err != nil {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) revoke(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Account string `json:"account"`
	}
	if !read(w, r, &order) {
		return
	}
	if !s.Entra.RevokeSessions(order.Account) {
		refuse(w, http.StatusNotFound, fmt.Sprintf("account %q: is not in the tenant", order.Account))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) changePerson(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Account  string   `json:"account"`
		MFA      *bool    `json:"mfa"`
		Disabled *bool    `json:"disabled"`
		Roles    []string `json:"roles"`
	}
	if !read(w, r, &order) {
		return
	}
	known := s.Tenant.UpdatePerson(order.Account, func(p *tenant.Person) {
		if order.MFA != nil {
			p.MFA = *order.MFA
		}
		if order.Disabled != nil {
			p.Disabled = *order.Disabled
		}
		if order.Roles != nil {
			p.AppRoles = nil
			for _, role := range order.Roles {
				p.AppRoles = append(p.AppRoles, tenant.Assignment{ClientID: ClientID, Role: role})
			}
		}
	})
	if !known {
		refuse(w, http.StatusNotFound, fmt.Sprintf("account %q: is not in the tenant", order.Account))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) changeApplication(w http.ResponseWriter, r *http.Request) {
	var order struct {
		RedirectURIs       []string `json:"redirect_uris"`
		AssignmentRequired *bool    `json:"assignment_required"`
	}
	if !read(w, r, &order) {
		return
	}
	known := s.Tenant.UpdateApplication(ClientID, func(a *tenant.Application) {
		if order.RedirectURIs != nil {
			a.RedirectURIs = order.RedirectURIs
		}
		if order.AssignmentRequired != nil {
			a.AssignmentRequired = *order.AssignmentRequired
		}
	})
	if !known {
		refuse(w, http.StatusNotFound, "the application \"Postern\" is not in the tenant")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) switchMailbox(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Address          string `json:"address"`
		IMAPDisabled     *bool  `json:"imap_disabled"`
		SMTPAuthDisabled *bool  `json:"smtp_auth_disabled"`
	}
	if !read(w, r, &order) {
		return
	}
	known := s.Tenant.UpdateMailbox(order.Address, func(m *tenant.Mailbox) {
		if order.IMAPDisabled != nil {
			m.IMAPDisabled = *order.IMAPDisabled
		}
		if order.SMTPAuthDisabled != nil {
			m.SMTPAuthDisabled = order.SMTPAuthDisabled
		}
	})
	if !known {
		refuse(w, http.StatusNotFound, fmt.Sprintf("mailbox %q: is not in the tenant", order.Address))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// state is what GET /sim/state shows. Passwords and codes are there on purpose: whoever reaches the control endpoint
// can sign anybody in as it is.
type state struct {
	TenantID string                `json:"tenant_id"`
	Domains  []string              `json:"domains"`
	People   []person              `json:"people"`
	Devices  []entra.PendingDevice `json:"devices"`
}

type person struct {
	Account  string `json:"account"`
	Password string `json:"password"`
	MFACode  string `json:"mfa_code,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
}

func (s *Sim) stateNow() state {
	now := state{TenantID: s.Tenant.ID, Domains: s.Tenant.Domains, Devices: s.Entra.PendingDevices()}
	for _, p := range s.Tenant.People() {
		now.People = append(now.People, person{
			Account: p.UPN, Password: p.Password.Reveal(), MFACode: s.Entra.MFACode(p.UPN), Disabled: p.Disabled,
		})
	}
	return now
}

// read reads an order; when it cannot it has answered, and reports false.
func read(w http.ResponseWriter, r *http.Request, order any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(order)
	if err == nil && decoder.Decode(new(json.RawMessage)) != io.EOF {
		err = fmt.Errorf("there is more than one JSON value")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "order: "+err.Error())
	}
	return err == nil
}

func refuse(w http.ResponseWriter, status int, reason string) {
	write(w, status, map[string]string{"error": reason})
}

func write(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // an error means that the client has gone
}
