package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestReadyAnswersJSONWhereItIsAskedFor and text to everybody else, with the same status.
func TestReadyAnswersJSONWhereItIsAskedFor(t *testing.T) {
	w := &world{now: noon, checks: map[string]error{"store": nil, "audit": errors.New("no space left on device")}, notes: map[string]string{"lockdown": "all since noon"}}
	const (
		text = "audit: not ready: no space left on device\nstore: ok\nlockdown: all since noon\n"
		json = `{"ready":false,"checks":{"audit":"no space left on device","store":"ok"},"notes":{"lockdown":"all since noon"}}` + "\n"
	)
	for accept, want := range map[string]string{
		"":                                  text,
		"*/*":                               text,
		"text/html, */*;q=0.8":              text,
		"application/json;q=0, */*":         text,
		"application/jsonx":                 text,
		";;":                                text,
		"application/json":                  json,
		"Application/JSON; charset=utf-8":   json,
		"text/html;q=0.1, application/json": json,
	} {
		status, kind, body := ready(w, accept)
		wantKind := "text/plain; charset=utf-8"
		if want == json {
			wantKind = "application/json"
		}
		if status != http.StatusServiceUnavailable || kind != wantKind || body != want {
			t.Errorf("%q: got %d, %s, %q, want 503, %s, %q", accept, status, kind, body, wantKind, want)
		}
	}
	w.checks, w.notes = map[string]error{"store": nil}, nil
	if status, _, body := ready(w, "application/json"); status != http.StatusOK || body != `{"ready":true,"checks":{"store":"ok"},"notes":{}}`+"\n" {
		t.Errorf("got %d %q, want 200 and that all is well", status, body)
	}
}

// ready asks /readyz with a field Accept.
func ready(of *world, accept string) (status int, kind, body string) {
	request, answer := httptest.NewRequest(http.MethodGet, "/readyz", nil), httptest.NewRecorder()
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	of.metrics().Handler().ServeHTTP(answer, request)
	return answer.Code, answer.Header().Get("Content-Type"), answer.Body.String()
}
