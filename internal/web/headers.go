package web

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// contentPolicy lets pages load what we serve, and nothing else: no inline script or style, no frame (ASVS 3.4.3,
// threat model I-39).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers are those of every answer.
var headers = map[string]string{
	"Content-Security-Policy":      contentPolicy,
	"Strict-Transport-Security":    "max-age=31536000",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",        // frame-ancestors, for browsers that do not know it
	"Referrer-Policy":              "same-origin", // no-referrer would have browsers send Origin: null
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
}

// maxBody bounds what a request may bring, in bytes: a form, or the answer of a passkey.
const maxBody = 64 << 10

// contained has a fault of a page's cost this request and nothing else (threat model I-32).
func (p *Portal) contained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if failure := recover(); failure != nil {
				p.log.Error("a page ended by a fault of the gateway's own; please report it", "method", r.Method, "path", r.URL.Path,
					"type", fmt.Sprintf("%T", failure), "stack", string(debug.Stack()))
				http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// guarded is what every request passes before it gets to a page: the headers of the answer, a limit on its size, the
// name of the host, and whether another site sent it.
func (p *Portal) guarded(next http.Handler) http.Handler {
	// A form needs no token of its own: browsers say where a request comes from (Fetch Metadata, RFC 6454), and the
	// cookies do not go along with another site's POST.
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.problem(w, r, http.StatusForbidden, "problem.cross-origin")
	}))
	next = origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		// A page that was reached under another name, such as by DNS rebinding, is another site to the browser.
		if !strings.EqualFold(r.Host, p.host) {
			p.problem(w, r, http.StatusMisdirectedRequest, "problem.host", p.config.URL)
			return
		}
		next.ServeHTTP(w, r)
	})
}
