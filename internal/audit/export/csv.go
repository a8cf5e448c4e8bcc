package export

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"postern/internal/audit"
)

// columns is the first row.
var columns = []string{"time", "seq", "kind", "outcome", "reason", "login", "mailbox", "account", "remote", "by", "session", "details"}

// csvRow gives an entry as a row (RFC 4180). What has no column is in details, as JSON.
func csvRow(e audit.Entry) ([]byte, error) {
	s, err := read(e)
	if err != nil {
		return nil, err
	}
	details, err := rest(e, columns...)
	if err != nil {
		return nil, err
	}
	return row([]string{e.Time.UTC().Format(time.RFC3339Nano), strconv.FormatInt(e.Seq, 10), e.Kind, s.Outcome, s.Reason, s.Login, s.Mailbox, s.Account,
		s.Remote, s.By, s.Session, string(details)}), nil
}

// row gives cells as a row that is safe for spreadsheets.
func row(cells []string) []byte {
	safe := make([]string, len(cells))
	for i, cell := range cells {
		safe[i] = Inert(cell)
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	_ = w.Write(safe) // a buffer takes it all
	w.Flush()
	return out.Bytes()
}

// Inert gives a text that no spreadsheet takes for a formula (ASVS 1.2.10): an apostrophe goes before the characters that
// begin one, at the beginning and wherever a program that parts cells by another character than ours might see a beginning.
func Inert(text string) string {
	var out strings.Builder
	beginning := true
	for _, r := range text {
		if beginning && strings.ContainsRune("=+-@\t\r＝＋－＠", r) {
			out.WriteByte('\'')
		}
		out.WriteRune(r)
		beginning = strings.ContainsRune(",;|\t\r\n\"'", r) || beginning && r == ' '
	}
	return out.String()
}
