package metrics

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/audit"
)

// monitoring is where the dashboard and the alert rules are.
const monitoring = "../../deploy/monitoring"

// promtool runs Prometheus's own checker; the test is skipped where it is missing, unless POSTERN_TEST_TOOLS is "require".
func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("POSTERN_TEST_TOOLS") == "require" {
			t.Fatal("promtool is missing; .ci/tools gets it")
		}
		t.Skip("promtool is missing")
	}
	c := exec.CommandContext(t.Context(), path, arguments...)
	c.Stdin = strings.NewReader(stdin)
	c.Dir = monitoring
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// exposition gives the figures of a gateway of which everything has happened once.
func exposition(t *testing.T) string {
	t.Helper()
	m := (&world{now: noon, stops: []Stop{{"password-expiry", noon.Add(time.Hour)}}}).metrics()
	for _, event := range audit.Catalogue() {
		m.Event(event)
	}
	m.Event(audit.SignInsRefused{Reasons: map[string]int{"held-off": 1}})
	_, body := get(t, m, http.MethodGet, "/metrics")
	return body
}

// dashboard gives the queries of the dashboard, as Grafana would send them.
func dashboard(t *testing.T) (queries []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			queries = append(queries, strings.NewReplacer("$instance", ".*", "$__rate_interval", "5m").Replace(target.Expr))
		}
	}
	return queries
}

func TestPromtoolTakesTheFigures(t *testing.T) { promtool(t, exposition(t), "check", "metrics") }

func TestPromtoolTakesTheAlertRules(t *testing.T) {
	promtool(t, "", "check", "rules", "alerts.yaml")
	promtool(t, "", "test", "rules", "alerts_test.yaml")
}

// TestPromtoolParsesEachQueryOfTheDashboard by way of recording rules, which it parses without a server.
func TestPromtoolParsesEachQueryOfTheDashboard(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, query := range dashboard(t) {
		fmt.Fprintf(&rules, "      - {record: \"query:%d\", expr: %q}\n", i, query)
	}
	path := filepath.Join(t.TempDir(), "queries.yaml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", path)
}

// TestDashboardAndAlertsNameFiguresThatThereAre holds every name of a figure against the exposition.
func TestDashboardAndAlertsNameFiguresThatThereAre(t *testing.T) {
	alerts, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	shown := exposition(t)
	for _, name := range regexp.MustCompile(`\b(postern|process|go)_\w+`).FindAllString(string(alerts)+strings.Join(dashboard(t), "\n"), -1) {
		if !strings.Contains(shown, "\n# TYPE "+name+" ") {
			t.Errorf("there is no figure %s", name)
		}
	}
}
