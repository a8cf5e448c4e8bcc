package sim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/sim/tenant"
)

func TestOrderFaults(t *testing.T) {
	r := start(t)
	r.order(t, http.MethodPost, "faults", `{"point":"token","match":"`+ClientID+`","status":503,"delay":"1ms"}`)
	response, err := r.client.PostForm(r.Authority()+"/oauth2/v2.0/token", url.Values{"client_id": {ClientID}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d, want the fault's 503", response.StatusCode)
	}
	r.order(t, http.MethodDelete, "faults", "")
	r.applicationToken(t)

	r.order(t, http.MethodPost, "faults", `{"point":"smtp-end","times":2,"reply":"432 4.3.2 busy","delay":"1.5s","drop":true}`)
	got, _ := r.Tenant.Faults.Take(tenant.SMTPEnd)
	want := tenant.Fault{Point: tenant.SMTPEnd, Times: 1, Reply: "432 4.3.2 busy", Delay: 1500 * time.Millisecond, Drop: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fault (-want +got):\n%s", diff)
	}
}

func TestApproveDeviceAndRevoke(t *testing.T) {
	r := start(t)
	_, device := r.entra(t, "devicecode", url.Values{
		"client_id": {ClientID}, "scope": {"https://outlook.office.com/SMTP.Send offline_access"},
	})
	userCode := device["user_code"].(string)
	if _, state := r.ask(t, http.MethodGet, "state", ""); !strings.Contains(state, userCode) {
		t.Errorf("got state %s, want the code %s in it", state, userCode)
	}
	r.order(t, http.MethodPost, "device/approve", `{"user_code":"`+userCode+`","account":"`+alice+`"}`)
	status, tokens := r.tokens(t, "grant_type", "device_code", "device_code", device["device_code"].(string))
	if status != http.StatusOK {
		t.Fatalf("got %d %v, want tokens", status, tokens)
	}
	refresh := func() (int, map[string]any) {
		t.Helper()
		return r.tokens(t, "grant_type", "refresh_token", "refresh_token", tokens["refresh_token"].(string))
	}
	if status, answer := refresh(); status != http.StatusOK {
		t.Errorf("got %d %v, want tokens", status, answer)
	}
	r.order(t, http.MethodPost, "revoke", `{"account":"`+alice+`"}`)
	if status, answer := refresh(); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("after /sim/revoke: got %d %v, want invalid_grant", status, answer["error"])
	}
}

func TestState(t *testing.T) {
	r := start(t)
	status, body := r.ask(t, http.MethodGet, "state", "")
	var got state
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s: %v", status, body, err)
	}
	hers, _ := r.Tenant.Person(alice)
	his, _ := r.Tenant.Person(bob)
	want := state{
		TenantID: r.Tenant.ID, Domains: []string{"contoso.example"},
		People: []person{
			{Account: alice, Password: hers.Password.Reveal(), MFACode: r.Entra.MFACode(alice)},
			{Account: bob, Password: his.Password.Reveal()},
		},
	}
	got.Devices = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestSwitchMailbox(t *testing.T) {
	r := start(t)
	r.order(t, http.MethodPost, "mailbox", `{"address":"`+scans+`","imap_disabled":true}`)
	mailbox, _ := r.Tenant.Mailbox(scans)
	if !mailbox.IMAPDisabled || mailbox.SMTPAuthDisabled != nil {
		t.Errorf("got IMAP disabled %v, SMTP %v, want IMAP alone", mailbox.IMAPDisabled, mailbox.SMTPAuthDisabled)
	}
	r.order(t, http.MethodPost, "mailbox", `{"address":"`+scans+`","smtp_auth_disabled":true}`)
	mailbox, _ = r.Tenant.Mailbox(scans)
	if !mailbox.IMAPDisabled || mailbox.SMTPAuthDisabled == nil || !*mailbox.SMTPAuthDisabled {
		t.Error("want both protocols disabled")
	}
	r.order(t, http.MethodPost, "mailbox", `{"address":"`+scans+`","imap_disabled":false}`)
	if mailbox, _ = r.Tenant.Mailbox(scans); mailbox.IMAPDisabled {
		t.Error("want IMAP enabled again")
	}
}

func TestOrdersThatAreWrong(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		path, order string
		status      int
		reason      string
	}{
		{"faults", `{"point":"pop"}`, 400, `point \"pop\"`},
		{"faults", `{"point":"token","delay":"soon"}`, 400, `delay \"soon\"`},
		{"faults", `{"point":"token","statsu":500}`, 400, "statsu"},
		{"faults", `{"point":"token"} {}`, 400, "more than one"},
		{"faults", ``, 400, "order:"},
		{"device/approve", `{"user_code":"NOSUCHONE","account":"` + alice + `"}`, 404, "NOSUCHONE"},
		{"device/approve", `{`, 400, "order:"},
		{"revoke", `{"account":"nobody@contoso.example"}`, 404, "nobody@contoso.example"},
		{"revoke", `[]`, 400, "order:"},
		{"mailbox", `{"address":"nobody@contoso.example"}`, 404, "nobody@contoso.example"},
		{"mailbox", `{"address":1}`, 400, "order:"},
	} {
		if status, body := r.ask(t, http.MethodPost, c.path, c.order); status != c.status || !strings.Contains(body, c.reason) {
			t.Errorf("%s %s: got %d %s, want %d with %s", c.path, c.order, status, body, c.status, c.reason)
		}
	}
}

func TestControlIsForThisMachineAlone(t *testing.T) {
	reached := false
	handler := loopbackOnly(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	for _, c := range []struct {
		from, kind string
		status     int
	}{
		{"192.0.2.7:1234", "application/json", http.StatusForbidden},
		{"[2001:db8::1]:1234", "application/json", http.StatusForbidden},
		{"nowhere", "application/json", http.StatusForbidden},
		{"127.0.0.1:1234", "text/plain", http.StatusUnsupportedMediaType}, // what a web page can send unasked
		{"127.0.0.1:1234", "", http.StatusUnsupportedMediaType},
		{"127.0.0.1:1234", "application/json", http.StatusOK},
		{"[::1]:1234", "application/json", http.StatusOK},
	} {
		reached = false
		request := httptest.NewRequest(http.MethodPost, "/sim/expire", nil)
		request.RemoteAddr = c.from
		request.Header.Set("Content-Type", c.kind)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != c.status || reached != (c.status == http.StatusOK) {
			t.Errorf("from %s with %q: got %d, reached %v, want %d", c.from, c.kind, recorder.Code, reached, c.status)
		}
	}
}

func TestChangePersonAndApplication(t *testing.T) {
	r := start(t)
	r.order(t, http.MethodPost, "person", `{"account":"`+alice+`","mfa":false,"roles":["Postern.Administrator"]}`)
	person, _ := r.Tenant.Person(alice)
	if person.MFA || person.Disabled || len(person.AppRoles) != 1 || person.AppRoles[0] != (tenant.Assignment{ClientID: ClientID, Role: "Postern.Administrator"}) {
		t.Errorf("got %+v", person)
	}
	r.order(t, http.MethodPost, "person", `{"account":"`+alice+`","disabled":true}`)
	if person, _ = r.Tenant.Person(alice); !person.Disabled || len(person.AppRoles) != 1 {
		t.Errorf("got %+v", person)
	}
	r.order(t, http.MethodPost, "application", `{"redirect_uris":["https://localhost:9/signin/contoso/callback"],"assignment_required":true}`)
	application, _ := r.Tenant.Application(ClientID)
	if !application.AssignmentRequired || len(application.RedirectURIs) != 1 || application.RedirectURIs[0] != "https://localhost:9/signin/contoso/callback" {
		t.Errorf("got %+v", application)
	}
	if status, _ := r.ask(t, http.MethodPost, "person", `{"account":"nobody@contoso.example"}`); status != http.StatusNotFound {
		t.Errorf("got status %d for somebody who is not there", status)
	}
}
