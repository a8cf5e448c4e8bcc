package web

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"strconv"
	"time"

	"postern/internal/audit/export"
)

const (
	// maxExport is how many lines are handed out at once, and exportBytes how much of the audit log is looked through.
	maxExport   = 20_000
	exportBytes = 256 << 20
)

// exportEvents hands events out as a file for spreadsheets, once that is in the audit log.
func (p *Portal) exportEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // HEAD hands nothing out
		return
	}
	filter := filterOf(r.URL.Query())
	wanted, err := filter.query()
	if err != nil {
		p.problem(w, r, http.StatusUnprocessableEntity, "problem.bad-request")
		return
	}
	wanted.Limit, wanted.MaxBytes = maxExport, exportBytes
	entries, _, err := p.config.Office.Events(r.Context(), wanted)
	if err != nil {
		p.unavailable(w, r, "reading the audit log", err)
		return
	}
	if err := p.config.Office.RecordExport(len(entries), filter.values().Encode(), actor(r)); err != nil {
		p.unavailable(w, r, "recording an export", err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="postern-events-`+p.now().UTC().Format("20060102-1504")+`.csv"`)
	_, _ = w.Write(table(eventLines(entries))) // an error means that the browser has gone
}

// table writes lines as CSV (RFC 4180).
func table(lines []eventLine) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	_ = w.Write([]string{"time", "seq", "kind", "outcome", "reason", "login", "from", "by", "session", "details"}) // a buffer takes it all
	for _, l := range lines {
		cells := []string{l.Time.UTC().Format(time.RFC3339Nano), strconv.FormatInt(l.Seq, 10), l.Kind, l.Outcome, l.Reason, l.Login, l.Remote, l.By, l.Session, l.Rest}
		for i := range cells {
			cells[i] = export.Inert(cells[i])
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return out.Bytes()
}
