package entra

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// problem is an answer that is an error (reference F.3).
type problem struct {
	code     int    // of AADSTS
	word     string // the error of RFC 6749 section 5.2 and its kin
	status   int    // of HTTP
	text     string
	suberror string
	claims   string // a claims challenge
}

// refuse makes the problem of a code. A code that is not known here is an invalid_request.
func refuse(code int) *problem {
	p, known := problems[code]
	if !known {
		p = problem{word: "invalid_request", text: "The request could not be completed."}
	}
	p.code = code
	if p.status == 0 {
		p.status = http.StatusBadRequest
	}
	return &p
}

// says replaces the text of a problem.
func (p *problem) says(format string, args ...any) *problem {
	p.text = fmt.Sprintf(format, args...)
	return p
}

// missing is the absence of a parameter that must be there.
func missing(parameter string) *problem {
	return refuse(900144).says("The request body must contain the following parameter: '%s'.", parameter)
}

// timeLayout is how Entra writes times in errors.
const timeLayout = "2006-01-02 15:04:05Z"

// errorBody is the JSON of an error.
type errorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri"`
	Suberror      string `json:"suberror,omitempty"`
	Claims        string `json:"claims,omitempty"`
}

// body words a problem for one request.
func (s *Server) body(w http.ResponseWriter, r *http.Request, p *problem) errorBody {
	timestamp := s.now().UTC().Format(timeLayout)
	trace, correlation := w.Header().Get("x-ms-request-id"), correlationID(r)
	return errorBody{
		Error: p.word,
		Description: fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			p.code, p.text, trace, correlation, timestamp),
		Codes: []int{p.code}, Timestamp: timestamp, TraceID: trace, CorrelationID: correlation,
		URI:      fmt.Sprintf("%s/error?code=%d", s.url, p.code),
		Suberror: p.suberror, Claims: p.claims,
	}
}

// fail answers with a problem as JSON.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, p *problem) {
	s.log.Info("entra refused", "path", r.URL.Path, "error", p.word, "code", p.code)
	w.Header().Set("Cache-Control", "no-store, no-cache")
	writeJSON(w, p.status, s.body(w, r, p))
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// correlationID gives the client's own id of a request where it sent one, as the libraries do.
func correlationID(r *http.Request) string {
	if id := r.Header.Get("client-request-id"); guid.MatchString(id) {
		return strings.ToLower(id)
	}
	return newGUID()
}
