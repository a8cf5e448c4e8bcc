package token

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRetryAfter bounds the Retry-After that is honoured: a longer one is taken for a mistake.
	maxRetryAfter = time.Hour
	// maxInterval bounds the time between two polls for a device code's token; it has to fit into httpTimeout.
	maxInterval = 20 * time.Second
	// slowDown is what slow_down adds to that time (RFC 8628 section 3.5).
	slowDown = 5 * time.Second
)

// call is one call of MSAL as the [transport] sees it: what the provider last answered, and the pace at which requests
// may follow each other. MSAL sends the requests of a call one after another, so it needs no lock.
type call struct {
	asked  bool // a request was made at all
	answer answer
	// account is whose token it is about, and waited for its turn; zero where a person waits for it, see [pace].
	account Account

	// paced is set for the device code flow, where MSAL polls as it likes and not as the provider says (reference
	// G.4.3). interval is then the provider's, and next the time of the next poll.
	paced    bool
	interval time.Duration
	next     time.Time
}

// answer is what the provider said to a request: nothing of it is secret, and nothing of it is free text.
type answer struct {
	status     int // HTTP; 0 when there was no answer
	understood bool
	code       string // error word
	suberror   string
	aadsts     []int
	claims     bool // a claims challenge came with the error
	retryAfter time.Duration
	declined   []string // scopes that were asked for and are not in a token answer

	correlationID, traceID string
}

type callKey struct{}

// withCall gives a context whose requests are noted in the call.
func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// withNewCall gives a context whose requests are noted in a new call.
func withNewCall(ctx context.Context) (context.Context, *call) {
	c := new(call)
	return withCall(ctx, c), c
}

// callOf gives the call of a context; one that nobody looks at where there is none.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return new(call)
}

// wait waits until the pace allows the next request.
func (c *call) wait(ctx context.Context) error {
	if !c.paced || c.next.IsZero() {
		return nil
	}
	timer := time.NewTimer(time.Until(c.next))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note takes in an answer.
func (c *call) note(response *http.Response, content []byte, scopes []string) {
	c.answer = readAnswer(response, content, scopes)
	if !c.paced || response.Request.Method != http.MethodPost {
		return
	}
	if c.interval == 0 {
		c.interval = readInterval(content) // the answer that brought the code; the first poll may follow at once
		return
	}
	if c.answer.code == "slow_down" {
		c.interval = min(c.interval+slowDown, maxInterval)
	}
	c.next = time.Now().Add(c.interval)
}

// readInterval reads the time between two polls from the answer with the device code (RFC 8628 section 3.2).
func readInterval(content []byte) time.Duration {
	var device struct {
		Interval int `json:"interval"` // seconds
	}
	if json.Unmarshal(content, &device) != nil || device.Interval <= 0 {
		return 5 * time.Second // where the provider says nothing
	}
	return min(time.Duration(min(device.Interval, 3600))*time.Second, maxInterval)
}

// oauthError is an error answer (RFC 6749 section 5.2) with Entra's additions (reference F.3), and the scope of a good
// one.
type oauthError struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Suberror      string `json:"suberror"`
	Claims        string `json:"claims"`
	CorrelationID string `json:"correlation_id"`
	TraceID       string `json:"trace_id"`

	AccessToken string  `json:"access_token"`
	Scope       *string `json:"scope"`
}

var (
	errorWord  = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)
	requestID  = regexp.MustCompile(`^[0-9A-Fa-f-]{1,64}$`)
	aadstsText = regexp.MustCompile(`AADSTS([0-9]{4,9})`)
)

// readAnswer takes from an answer what may be shown and what decides.
func readAnswer(response *http.Response, content []byte, scopes []string) answer {
	a := answer{status: response.StatusCode, retryAfter: retryAfter(response.Header)}
	var e oauthError
	if json.Unmarshal(content, &e) != nil {
		return a
	}
	a.understood = true
	if e.AccessToken != "" && e.Scope != nil {
		a.declined = missing(strings.Fields(*e.Scope), scopes)
	}
	if e.Error == "" {
		return a
	}
	a.code = only(errorWord, e.Error)
	a.suberror = only(errorWord, e.Suberror)
	a.correlationID = only(requestID, e.CorrelationID)
	a.traceID = only(requestID, e.TraceID)
	a.claims = e.Claims != ""
	a.aadsts = e.Codes[:min(len(e.Codes), 8)]
	if m := aadstsText.FindStringSubmatch(e.Description); len(a.aadsts) == 0 && m != nil {
		n, _ := strconv.Atoi(m[1]) // at most nine digits
		a.aadsts = []int{n}
	}
	return a
}

// only gives a text that has the form it should have. What an upstream answers is not trusted, and this text goes to
// logs and screens.
func only(form *regexp.Regexp, text string) string {
	if text != "" && !form.MatchString(text) {
		return "unreadable"
	}
	return text
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3), in seconds or as a date; zero when there is none.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}
