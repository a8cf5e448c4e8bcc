package diagnosis

import (
	"strings"
	"testing"
)

// replies are those of reference B.4 and B.2, as the service says them, and the diagnosis of each.
var replies = map[string]string{
	"535 5.7.3 Authentication unsuccessful [AM0PR02CA0134.eurprd02.prod.outlook.com 2024-07-11T11:46:49.042Z 08DCA18218166FB4]":                                              "token-not-accepted",
	"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [X 2024 0]": "smtp-auth-off-tenant",
	"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. [X]":       "smtp-auth-off-mailbox",
	"535 5.7.139 Authentication unsuccessful, basic authentication is disabled.":                                                                                             "basic-authentication",
	"535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.":                                   "security-defaults",
	"535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.":                           "conditional-access",
	"535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.":                                                                                          "basic-authentication",
	"535 5.7.139 Authentication unsuccessful, federated STS service was unreachable.":                                                                                        "basic-authentication",
	"535 5.7.139 Authentication unsuccessful, …":                                                                                                                  "sign-in-blocked",
	"501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid":                                                                                  "mailbox-address-invalid",
	"454 4.7.0 Temporary authentication failure":                                                                                                                  "upstream-trouble",
	"550 5.7.30 Basic authentication is not supported for Client Submission.":                                                                                     "basic-authentication",
	"504 5.7.4 Unrecognized authentication type [X]":                                                                                                              "not-the-submission-server",
	"530 5.7.0 Must issue a STARTTLS command first":                                                                                                               "not-the-submission-server",
	"535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS.":                                                                      "basic-authentication",
	"421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls.":                     "upstream-old-tls",
	"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=X]":                                                                                  "too-many-connections",
	"432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=X]":                                 "too-many-connections",
	"421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel":                                                   "too-many-connections",
	"421 4.4.2 Message submission rate for this client has exceeded the configured limit":                                                                         "too-fast",
	"421 4.4.1 Connection timed out. Total session duration: 00:20:55.1":                                                                                          "upstream-trouble",
	"451 4.7.0 Temporary server error. Please try again later. PRX4":                                                                                              "upstream-trouble",
	"451 4.3.2 Temporary server error":                                                                                                                            "upstream-trouble",
	"451 4.7.500 Server busy. Please try again later from [203.0.113.9].":                                                                                         "reputation",
	"451 4.7.850 Access denied, please try again later":                                                                                                           "reputation",
	"554 5.2.252 SendAsDenied; a@contoso.com not allowed to send as b@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied": "send-as-denied",
	"554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message":                                          "send-as-denied",
	"550 5.7.60 SMTP; Client does not have permissions to send as this sender":                                                                                    "send-as-denied",
	"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception":                            "daily-recipients",
	"550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients (AS:46601)":                                             "daily-recipients",
	"550 5.2.2 Submission quota exceeded":                                                                                                                         "daily-recipients",
	"554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded":                                              "mailbox-full",
	"550 5.1.8 Access denied, bad outbound sender AS(42004)":                                                                                                      "mailbox-blocked",
	"550 5.7.233 Your message can't be sent because your tenant has exceeded its daily limit":                                                                     "tenant-recipients",
	"550 5.7.705 Access denied, tenant has exceeded threshold":                                                                                                    "tenant-blocked",
	"550 5.7.708 Access denied, traffic not accepted from this IP":                                                                                                "tenant-blocked",
	"552 5.3.4 Message size exceeds fixed maximum message size":                                                                                                   "too-big",
	"554 5.2.3 message too large":                            "too-big",
	"452 4.5.3 Too many recipients":                          "too-many-recipients",
	"550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients": "too-many-recipients",
	"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient x@contoso.com not found by SMTP address lookup":          "no-such-recipient",
	"550 5.2.121 the recipient receives too much":                                                                  "recipient-busy",
	"432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded":                                                  "recipient-busy",
	"550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, invalid characters":             "line-ends",
	"550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant":                                  "from-invalid",
	"550 5.1.20 Multiple From addresses are not allowed without Sender address":                                    "many-senders",
	"530 5.7.57 Client not authenticated to send mail. [X]":                                                        "not-signed-in",
	"550 5.7.64 TenantAttribution; Relay Access Denied":                                                            "no-relay",
	"550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources": "no-relay",
	"550 5.7.520 Access denied, Your organization does not allow external forwarding":                              "forwarding",
	"A1 NO AUTHENTICATE failed.":                                              "token-not-accepted",
	"A2 BAD User is authenticated but not connected.":                         "not-connected",
	"* BYE Session invalidated - AccessTokenExpired":                          "token-expired",
	"A3 BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds": "throttled",
	"A3 NO Server Unavailable. 15":                                            "upstream-trouble",
	"A1 BAD Command received in Invalid state.":                               "request-not-understood",
	"A1 BAD Command Argument Error. 11":                                       "request-not-understood",
	"* BYE Connection closed. 14":                                             "upstream-trouble",
}

func TestEveryReplyHasItsDiagnosis(t *testing.T) {
	used := make(map[string]bool)
	for reply, want := range replies {
		find := SMTP
		if reply[0] == 'A' || reply[0] == '*' {
			find = IMAP
		}
		got, ok := find(reply, Subject{})
		if !ok || got.Name != want {
			t.Errorf("%s:\ngot %q, want %q", reply, got.Name, want)
		}
		used[want] = true
	}
	for _, r := range append(smtpRows, imapRows...) {
		if !used[r.Name] {
			t.Errorf("no reply is known for %s", r.Name)
		}
	}
	for _, reply := range []string{"250 2.0.0 OK <5.7.60@x>", "", "550 something that nobody has seen", "451 4.7.1 greylisted", "A1 OK done"} {
		if got, ok := SMTP(reply, Subject{}); ok {
			t.Errorf("%q has the diagnosis %q", reply, got.Name)
		}
	}
}

// TestTableReadsWell: what a device shows fits its line, and nothing is left half said.
func TestTableReadsWell(t *testing.T) {
	names := make(map[string]bool)
	for _, rows := range [][]row{smtpRows, imapRows} {
		here := make(map[string]bool)
		for _, r := range rows {
			if r.Cause == "" || r.Short == "" || len(r.Short) > 100 || strings.ContainsFunc(r.Short, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("%s: cause %q, short %q", r.Name, r.Cause, r.Short)
			}
			if here[r.Name] {
				t.Errorf("%s is there twice", r.Name)
			}
			here[r.Name], names[r.Name] = true, true
		}
	}
}

func TestSubject(t *testing.T) {
	reply := "554 5.2.252 SendAsDenied"
	got, _ := SMTP(reply, Subject{Mailbox: "scans@contoso.com", Sender: "anna@contoso.com"})
	if want := "Add-RecipientPermission anna@contoso.com -Trustee scans@contoso.com -AccessRights SendAs -Confirm:$false"; got.Command != want {
		t.Errorf("got  %q\nwant %q", got.Command, want)
	}
	if got.Short != "The sender address must be scans@contoso.com" {
		t.Errorf("got %q", got.Short)
	}
	for _, evil := range []string{"", "a;rm@x", "$(x)@y", "a b@c", "-Force", "`x`@y", "'x'@y", "a\"b@c", "a\r\nb@c"} {
		got, _ := SMTP(reply, Subject{Mailbox: evil, Sender: evil})
		if want := "Add-RecipientPermission SENDER -Trustee MAILBOX -AccessRights SendAs -Confirm:$false"; got.Command != want {
			t.Errorf("%q: got %q", evil, got.Command)
		}
	}
	if got := got.String(); strings.Count(got, "; ") < 2 {
		t.Errorf("got %q, want cause, fix and command", got)
	}
}
