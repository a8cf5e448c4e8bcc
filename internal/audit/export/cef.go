package export

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"postern/internal/audit"
)

// cef gives an entry in ArcSight's Common Event Format (implementation standard, version 0): a line of
//
//	CEF:0|Postern|Postern|VERSION|KIND|NAME|SEVERITY|key=value …
//
// The whole event is in msg as JSON; the keys before it are what CEF has names for.
func cef(e audit.Entry, version string) ([]byte, error) {
	s, err := read(e)
	if err != nil {
		return nil, err
	}
	details, err := rest(e)
	if err != nil {
		return nil, err
	}
	severity := 3
	if failed(e, s) {
		severity = 6
	}
	var out strings.Builder
	fmt.Fprintf(&out, "CEF:0|Postern|Postern|%s|%s|%s|%d|", cefHeader(version), cefHeader(e.Kind), cefHeader(strings.ReplaceAll(e.Kind, "-", " ")), severity)
	host, port, _ := net.SplitHostPort(s.Remote)
	separator := ""
	for _, pair := range [][2]string{
		{"rt", strconv.FormatInt(e.Time.UnixMilli(), 10)}, {"externalId", strconv.FormatInt(e.Seq, 10)}, {"outcome", s.Outcome}, {"reason", s.Reason},
		{"app", s.Protocol}, {"duser", s.Login}, {"suser", s.By}, {"src", host}, {"spt", port},
		{"cs1Label", label(s.Session, "session")}, {"cs1", s.Session}, {"cs2Label", label(s.Mailbox, "mailbox")}, {"cs2", s.Mailbox},
		{"cs3Label", label(s.Account, "account")}, {"cs3", s.Account}, {"cs4Label", label(s.Queue, "queue_id")}, {"cs4", s.Queue}, {"msg", string(details)},
	} {
		if pair[1] != "" {
			out.WriteString(separator + pair[0] + "=" + cefValue(pair[1]))
			separator = " "
		}
	}
	return []byte(out.String() + "\n"), nil
}

// label names a custom string where it is there.
func label(value, name string) string {
	if value == "" {
		return ""
	}
	return name
}

var (
	cefHeaders = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r", " ", "\n", " ")
	cefValues  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\r", `\r`, "\n", `\n`)
)

func cefHeader(text string) string { return cefHeaders.Replace(shown(text)) }
func cefValue(text string) string  { return cefValues.Replace(shown(text)) }

// shown gives a text with escapes in the place of characters that do not show; line ends stay for CEF's own escapes.
func shown(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r == '\r' || r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return out.String()
}
