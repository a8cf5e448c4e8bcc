package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMonitoring has the running gateway show what it does: sign-ins that went well and ill, a live session, what will
// stop, and whether it is ready; and none of its users' names.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	address := freeAddress(t)
	file, err := os.OpenFile(d.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(file, "metrics: {address: %q}\n", address)
	if closed := file.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	d.serve(t, g, binary(t, program))

	d.imapSignIn(t, g, aliceWithAWrongPassword(t, g))
	g.signIn(t, alice(t, g), "imap")
	eventually(t, 10*time.Second, "the figures", func() error {
		_, figures := fetch(t, address, "/metrics")
		for _, want := range []string{
			`postern_sign_ins_total{outcome="allowed",protocol="imap",reason=""} 1`,
			`postern_sign_ins_total{outcome="refused",protocol="imap",reason="wrong-password"} 1`,
			`postern_sessions{protocol="imap"} 1`,
			`postern_queue_messages{state="waiting"} 0`,
			`postern_forecast_stops{kind="client-secret"} 1`,
			`postern_audit_events_total{kind="gateway-started"} 1`,
		} {
			if !strings.Contains(figures, "\n"+want+"\n") {
				return fmt.Errorf("there is no %s", want)
			}
		}
		if strings.Contains(figures, "alice") || strings.Contains(figures, "contoso") {
			t.Error("the figures name somebody")
		}
		return nil
	})
	if status, body := fetch(t, address, "/readyz"); status != http.StatusOK || !strings.Contains(body, "store: ok\n") {
		t.Errorf("/readyz: got %d %q", status, body)
	}
}

// fetch gets a page of the figures' listener.
func fetch(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
