package entra

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/internal/sim/tenant"
)

func TestFaults(t *testing.T) {
	f := start(t)
	order := func(fault tenant.Fault) reply {
		t.Helper()
		fault.Point, fault.Times = tenant.TokenEndpoint, 1
		f.tenant.Faults.Add(fault)
		r := f.post(t, "token", credentials())
		f.post(t, "token", credentials()).wantTokens(t) // it struck once
		return r
	}
	r := order(tenant.Fault{Status: 429, RetryAfter: 60})
	if r.status != 429 || r.header.Get("Retry-After") != "60" || r.body != "Too Many Requests" {
		t.Errorf("throttled: got %d, Retry-After %q, %q", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := order(tenant.Fault{RetryAfter: 7}); r.status != 429 || r.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After alone: got %d, Retry-After %q, want 429", r.status, r.header.Get("Retry-After"))
	}
	if r := order(tenant.Fault{Status: 502}); r.status != 502 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Errorf("bare status: got %d as %s", r.status, r.header.Get("Content-Type"))
	}
	if r := order(tenant.Fault{Reply: "<html>portal"}); r.status != 200 || r.body != "<html>portal" {
		t.Errorf("reply: got %d %q", r.status, r.body)
	}
	order(tenant.Fault{AADSTS: 7000222}).wantError(t, 401, 7000222, "invalid_client")
	order(tenant.Fault{AADSTS: 90033, Status: 500}).wantError(t, 500, 90033, "temporarily_unavailable")
	order(tenant.Fault{AADSTS: 1234567}).wantError(t, 400, 1234567, "invalid_request")
	const challenge = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	r = order(tenant.Fault{AADSTS: 50076, Claims: challenge})
	r.wantError(t, 400, 50076, "interaction_required")
	if r.text("claims") != challenge {
		t.Errorf("got claims %q, want %q", r.text("claims"), challenge)
	}
	begun := time.Now()
	order(tenant.Fault{Delay: 50 * time.Millisecond}).wantTokens(t)
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Errorf("a delay of 50 ms took %v", took)
	}
}

func TestFaultDrops(t *testing.T) {
	f := start(t)
	f.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Drop: true})
	response, err := f.client.PostForm(f.URL()+"/"+domain+"/oauth2/v2.0/token", credentials())
	if err == nil {
		response.Body.Close()
		t.Fatal("got an answer, want a dropped connection")
	}
}

func TestFaultsStrikeWhomTheyName(t *testing.T) {
	f := start(t)
	alices := f.signIn(t, clientID, alice, mailScope+" offline_access")
	bobs := f.signIn(t, clientID, bob, mailScope+" offline_access")
	d := f.device(t, clientID, mailScope)
	if err := f.ApproveDevice(d.text("user_code"), alice); err != nil {
		t.Fatal(err)
	}
	code := f.browse(t).signIn(wanted())
	f.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Match: alice, AADSTS: 53003})
	f.refresh(t, clientID, bobs).wantTokens(t)
	f.refresh(t, clientID, alices).wantError(t, 400, 53003, "invalid_grant")
	f.poll(t, clientID, d).wantError(t, 400, 53003, "invalid_grant")
	f.post(t, "token", redemption(code)).wantTokens(t)
	f.tenant.Faults.Clear()
	f.poll(t, clientID, d).wantTokens(t)

	f.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Match: clientID, Status: 503})
	if r := f.post(t, "token", credentials()); r.status != http.StatusServiceUnavailable {
		t.Errorf("the client's: got %d, want 503", r.status)
	}
	f.post(t, "token", with(credentials(), "client_id", webID)).wantTokens(t)
}

func TestOtherHost(t *testing.T) {
	f := start(t)
	tokens := f.signIn(t, clientID, bob, mailScope+" offline_access")
	f.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, OtherHost: true})
	r := f.refresh(t, clientID, tokens)
	r.wantTokens(t)
	want := strings.ReplaceAll(mailScope, "outlook.office.com", "outlook.office365.com")
	if r.text("scope") != want {
		t.Errorf("got scope %q, want %q", r.text("scope"), want)
	}
	r = f.refresh(t, clientID, tokens, "scope", want)
	if r.text("scope") != mailScope {
		t.Errorf("got scope %q, want %q", r.text("scope"), mailScope)
	}
}

// TestCloseEndsADelay holds Close to not waiting for what was ordered to be slow.
func TestCloseEndsADelay(t *testing.T) {
	f := start(t)
	f.tenant.Faults.Add(tenant.Fault{Point: tenant.TokenEndpoint, Delay: time.Hour, Times: 1})
	ended := make(chan error, 1)
	go func() {
		response, err := f.client.PostForm(f.URL()+"/"+domain+"/oauth2/v2.0/token", credentials())
		if err == nil {
			response.Body.Close()
		}
		ended <- err
	}()
	for !strings.Contains(f.log.String(), "/oauth2/v2.0/token") { // until the request is there
		runtime.Gosched()
	}
	if err := f.Server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the request was answered")
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	f := start(t)
	tokens := f.signIn(t, clientID, alice, mailScope+" openid offline_access")
	b := f.browse(t)
	code := b.signIn(wanted())
	f.post(t, "token", redemption(code)).wantTokens(t)
	f.post(t, "token", with(credentials(), "client_secret", "a wrong secret")).wantError(t, 401, 7000215, "invalid_client")
	log := f.log.String()
	contains(t, "log", log, "code=7000215")
	for name, hidden := range map[string]string{
		"client secret": clientSecret, "wrong secret": "a wrong secret", "password": password, "code": code, "verifier": verifier,
		"access token": tokens.text("access_token"), "refresh token": tokens.text("refresh_token"), "id token": tokens.text("id_token"),
	} {
		if strings.Contains(log, hidden) {
			t.Errorf("the log has the %s", name)
		}
	}
}
