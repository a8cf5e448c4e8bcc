package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// auditLine is what the tests read of a line of the audit log.
type auditLine struct {
	Seq      int64  `json:"seq"`
	Kind     string `json:"kind"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"`
	Cause    string `json:"cause"`
	Login    string `json:"login"`
	Protocol string `json:"protocol"`
	Evidence string `json:"evidence"`
	Prev     string `json:"prev"`
}

// audit reads the audit log and holds it to its chain.
func (d *deployment) audit(t *testing.T) []auditLine {
	t.Helper()
	text, err := os.ReadFile(d.auditFile())
	if err != nil {
		t.Fatal(err)
	}
	var lines []auditLine
	prev := ""
	i := 0
	for raw := range bytes.Lines(text) {
		raw = bytes.TrimSuffix(raw, []byte("\n"))
		i++
		var line auditLine
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatalf("audit line %d: %v\n%s", i, err, raw)
		}
		if line.Seq != int64(i) || line.Prev != prev {
			t.Fatalf("audit line %d: got seq %d and prev %q, want %d and %q", i, line.Seq, line.Prev, i, prev)
		}
		sum := sha256.Sum256(raw)
		prev = hex.EncodeToString(sum[:])
		lines = append(lines, line)
	}
	return lines
}

// refusals gives the lines from the one numbered from on in which a client was refused: a sign-in or a message.
func refusals(lines []auditLine, from int) []auditLine {
	var refused []auditLine
	for _, line := range lines[from:] {
		if line.Outcome == "refused" && (line.Kind == "sign-in" || line.Kind == "message") {
			refused = append(refused, line)
		}
	}
	return refused
}
