package entra

import (
	"strings"
	"testing"
	"time"

	"postern/internal/sim/tenant"
)

func TestDeviceCode(t *testing.T) {
	f := start(t)
	d := f.device(t, publicID, mailScope+" openid profile offline_access")
	if len(d.text("user_code")) != 9 || d.json["expires_in"] != 900.0 || d.json["interval"] != 5.0 || d.text("verification_uri") != f.URL()+"/devicelogin" {
		t.Errorf("got %s", d.body)
	}
	contains(t, "message", d.text("message"), d.text("user_code"))
	if pending := f.PendingDevices(); len(pending) != 1 || pending[0].UserCode != d.text("user_code") || pending[0].ClientID != publicID {
		t.Errorf("got pending devices %v, want this one", pending)
	}
	f.poll(t, publicID, d).wantError(t, 400, 70016, "authorization_pending")
	f.poll(t, clientID, d).wantError(t, 400, 70018, "bad_verification_code")

	if err := f.ApproveDevice(" "+strings.ToLower(d.text("user_code")), alice); err != nil {
		t.Fatal(err)
	}
	r := f.poll(t, publicID, d)
	r.wantTokens(t)
	if got := f.verify(t, r); got.UPN != alice || got.ClientID != publicID || got.ObjectID != aliceID {
		t.Errorf("got claims of %q for %q", got.UPN, got.ClientID)
	}
	if r.text("refresh_token") == "" || r.text("id_token") == "" || r.text("scope") != mailScope {
		t.Errorf("got scope %q, want that of the mail, a refresh token and an id token", r.text("scope"))
	}
	if got, want := r.text("client_info"), f.clientInfo(aliceID); got != want {
		t.Errorf("got client_info %q, want %q", got, want)
	}
	if len(f.PendingDevices()) != 0 {
		t.Error("the device still waits")
	}
	f.poll(t, publicID, d).wantError(t, 400, 54005, "invalid_grant")
	if err := f.ApproveDevice(d.text("user_code"), alice); err == nil {
		t.Error("a used code was approved again")
	}
}

func TestDeviceCodeThatNobodyUses(t *testing.T) {
	f := start(t)
	d := f.device(t, clientID, mailScope)
	f.clock.advance(15*time.Minute + time.Second)
	f.poll(t, clientID, d).wantError(t, 400, 70019, "expired_token")
	if err := f.ApproveDevice(d.text("user_code"), alice); err == nil {
		t.Error("an expired code was approved")
	}
}

func TestDeviceCodeOfAConfidentialClient(t *testing.T) {
	f := start(t)
	d := f.device(t, webID, mailScope)
	f.poll(t, webID, d).wantError(t, 401, 7000218, "invalid_client")
}

func TestDeviceCodeRefuses(t *testing.T) {
	f := start(t)
	f.post(t, "devicecode", form("scope", mailScope)).wantError(t, 400, 900144, "invalid_request")
	f.post(t, "devicecode", form("client_id", clientID)).wantError(t, 400, 900144, "invalid_request")
	f.post(t, "devicecode", form("client_id", tenantID, "scope", mailScope)).wantError(t, 400, 700016, "unauthorized_client")
	f.post(t, "devicecode", form("client_id", clientID, "scope", "https://outlook.office.com/Nothing")).wantError(t, 400, 70011, "invalid_scope")
	f.get(t, "/"+domain+"/oauth2/v2.0/devicecode").wantError(t, 400, 900561, "invalid_request")
}

// Several resources may be consented to, but a token is for one (reference A.3).
func TestDeviceCodeForSeveralResources(t *testing.T) {
	f := start(t)
	d := f.device(t, clientID, mailScope+" https://graph.microsoft.com/User.Read")
	if err := f.ApproveDevice(d.text("user_code"), bob); err != nil {
		t.Fatal(err)
	}
	f.poll(t, clientID, d).wantError(t, 400, 28000, "invalid_request")
}

func TestApproveDeviceRefuses(t *testing.T) {
	f := start(t)
	code := f.device(t, clientID, mailScope).text("user_code")
	f.tenant.UpdatePerson(bob, func(p *tenant.Person) { p.Disabled = true })
	for name, order := range map[string][2]string{
		"unknown code": {"NOTACODE2", alice}, "unknown account": {code, "nobody@contoso.example"}, "disabled account": {code, bob},
	} {
		if err := f.ApproveDevice(order[0], order[1]); err == nil {
			t.Errorf("%s: was approved", name)
		}
	}
}

func TestDevicePages(t *testing.T) {
	f := start(t)
	d := f.device(t, clientID, mailScope)
	b := f.browse(t)
	b.open("/devicelogin?otc=" + d.text("user_code"))
	b.see(d.text("user_code"))
	b.enter("otc", "WRONGCODE").see("That code didn't work.")
	b.enter("otc", strings.ToLower(d.text("user_code"))).see("Sign in")
	b.enter("login", alice).see("Enter password")
	b.enter("passwd", password).see("Enter code")
	b.enter("otc", f.MFACode(alice)).see("Are you trying to sign in to Postern?")
	f.poll(t, clientID, d).wantError(t, 400, 70016, "authorization_pending")
	b.enter("answer", "accept").see("You have signed in to the Postern application")
	r := f.poll(t, clientID, d)
	r.wantTokens(t)
	if got := f.verify(t, r).UPN; got != alice {
		t.Errorf("got a token of %q, want alice's", got)
	}
}

func TestDevicePagesDeclined(t *testing.T) {
	f := start(t)
	d := f.device(t, clientID, mailScope)
	b := f.browse(t)
	b.open("/devicelogin")
	b.enter("otc", d.text("user_code"))
	b.enter("login", bob)
	b.enter("passwd", password).see("Are you trying to sign in")
	b.enter("answer", "decline").see("You declined")
	f.poll(t, clientID, d).wantError(t, 400, 65004, "authorization_declined")
	b.enter("answer", "accept").see("AADSTS9002313") // the page before
}
