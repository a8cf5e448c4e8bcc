// Package chromium is a real browser for tests: it opens pages as a person does, with a passkey in its pocket, and holds
// pages to having nothing to complain about in the console, where breaches of the content policy show.
//
// It is imported by tests alone. A test whose browser is missing is skipped, unless POSTERN_TEST_TOOLS is "require".
package chromium

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// patience bounds each thing that a browser is asked to do.
const patience = time.Minute

// Browser is a browser with one window and a profile of its own. It is for one goroutine.
type Browser struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	forgiven   []string
}

// Open opens a browser until the end of the test. It trusts the certificates given, and those of the system.
func Open(t testing.TB, trusted ...*x509.Certificate) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("POSTERN_TEST_TOOLS") == "require" {
			t.Fatal("chromium is not installed; run `make tools`")
		}
		t.Skip("chromium is not installed; run `make tools`")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("ignore-certificate-errors-spki-list", pins(trusted)))
	if os.Geteuid() == 0 { // as root its sandbox does not work
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until the browser has ended
		cancel()
		stopAllocator()
		b.quiet()
	})
	chromedp.ListenTarget(ctx, b.listen)
	// The first run starts the browser, and lives as long as it does: it has no time limit of its own.
	if err := chromedp.Run(ctx, log.Enable(), runtime.Enable(), network.Enable()); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	b.Look(1100, false)
	return b
}

// pins gives the hashes of public keys as the browser's command line wants them.
func pins(trusted []*x509.Certificate) string {
	var all []string
	for _, certificate := range trusted {
		sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
		all = append(all, base64.StdEncoding.EncodeToString(sum[:]))
	}
	return strings.Join(all, ",")
}

// listen keeps what a page complains of.
func (b *Browser) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			complaint = e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		complaint = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			complaint = "console.error"
		}
	}
	if complaint != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, complaint)
	}
}

// Forgive lets complaints pass that have a text in them, such as the status of a page that is meant to refuse.
func (b *Browser) Forgive(text string) { b.forgiven = append(b.forgiven, text) }

// quiet fails the test if there were complaints.
func (b *Browser) quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, complaint := range b.complaints {
		for _, text := range b.forgiven {
			if strings.Contains(complaint, text) {
				continue next
			}
		}
		b.t.Errorf("the browser complains: %s", complaint)
	}
}

// do runs actions, and fails the test where they do not work.
func (b *Browser) do(doing string, actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; the page is %s\n%s", doing, err, b.address(), b.text())
	}
}

// address and text say where the browser is, for messages.
func (b *Browser) address() (url string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Location(&url))
	return url
}

func (b *Browser) text() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text))
	return text
}

// Visit opens a page.
func (b *Browser) Visit(url string) {
	b.t.Helper()
	b.do("opening "+url, chromedp.Navigate(url))
}

// Fill types a text into a field, in the stead of what is there.
func (b *Browser) Fill(selector, text string) {
	b.t.Helper()
	b.do("filling "+selector, chromedp.WaitVisible(selector, chromedp.ByQuery),
		chromedp.Evaluate(`document.querySelector(`+quoted(selector)+`).value = ""`, nil), chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

// Press clicks on something that can be seen.
func (b *Browser) Press(selector string) {
	b.t.Helper()
	b.do("pressing "+selector, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

// PressText clicks on the button or link with a text.
func (b *Browser) PressText(text string) {
	b.t.Helper()
	b.do("pressing "+text, chromedp.Click(`//*[self::button or self::a or self::summary][normalize-space()="`+text+`"]`, chromedp.BySearch, chromedp.NodeVisible))
}

// WaitFor waits until a text is on a page that is complete, whatever pages come before it, and gives all of its text. Of
// several texts one will do.
func (b *Browser) WaitFor(texts ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var shown string
		err := chromedp.Run(ctx, chromedp.Evaluate(`document.readyState === "complete" ? document.body.innerText : ""`, &shown))
		has := func(text string) bool { return strings.Contains(shown, text) }
		if err == nil && slices.ContainsFunc(texts, has) { // an error is a page that goes away at this moment
			return shown
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			b.t.Fatalf("waiting for %q: the page is %s\n%s", texts, b.address(), b.text())
		}
	}
}

// Value gives the text of an element, or what is typed into a field.
func (b *Browser) Value(selector string) (value string) {
	b.t.Helper()
	b.do("reading "+selector, chromedp.Evaluate(`(() => { const e = document.querySelector(`+quoted(selector)+`); return e.value ?? e.innerText })()`, &value))
	return value
}

// Has reports whether something is on the page and to be seen.
func (b *Browser) Has(selector string) (has bool) {
	b.t.Helper()
	b.do("looking for "+selector, chromedp.Evaluate(`!!document.querySelector(`+quoted(selector)+`)?.checkVisibility()`, &has))
	return has
}

// Path gives the path and the query of the page.
func (b *Browser) Path() (path string) {
	b.t.Helper()
	b.do("asking where it is", chromedp.Evaluate(`location.pathname + location.search`, &path))
	return path
}

func quoted(s string) string { return "`" + strings.ReplaceAll(s, "`", "\\`") + "`" }

// Reload loads the page once more, as the browser's button does.
func (b *Browser) Reload() {
	b.t.Helper()
	b.do("reloading", chromedp.Reload())
}

// Back goes back to the page before, as the browser's button does.
func (b *Browser) Back() {
	b.t.Helper()
	b.do("going back", chromedp.Evaluate(`history.back()`, nil)) // a page from the browser's memory is not loaded once more
}

// Language sets what the browser asks for from the next page on, such as de.
func (b *Browser) Language(tag string) {
	b.t.Helper()
	b.do("choosing a language", network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": tag}))
}

// Look sets the width of the window in pixels, and whether the person prefers dark pages.
func (b *Browser) Look(width int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do("setting the look", emulation.SetDeviceMetricsOverride(width, 800, 1, width < 500),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// Shot takes pictures of the page, light, dark, and on a telephone, into the folder that POSTERN_SCREENSHOTS names; none
// where it names none. It fails the test if the page is wider than the telephone.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	folder := os.Getenv("POSTERN_SCREENSHOTS")
	for _, look := range []struct {
		name  string
		width int64
		dark  bool
	}{{"phone", 375, false}, {"dark", 1100, true}, {"light", 1100, false}} {
		b.Look(look.width, look.dark)
		var overflow int
		b.do("measuring", chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &overflow))
		if overflow > 0 {
			b.t.Errorf("%s is %d pixels wider than a window of %d", name, overflow, look.width)
		}
		if folder == "" {
			continue
		}
		var png []byte
		b.do("taking a picture", chromedp.FullScreenshot(&png, 100))
		if err := os.WriteFile(filepath.Join(folder, name+"-"+look.name+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Authenticator gives the person a passkey that says yes to everything, such as a fingerprint that is always right.
func (b *Browser) Authenticator() {
	b.t.Helper()
	b.do("giving a passkey", webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
}

// Cookie puts a cookie of a host into the browser, as a page of it would: for itself alone, over TLS.
func (b *Browser) Cookie(url, name, value string) {
	b.t.Helper()
	b.do("setting a cookie", network.SetCookie(name, value).WithURL(url).WithPath("/").WithSecure(true).WithHTTPOnly(true))
}
