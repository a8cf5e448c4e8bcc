package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxExposure is how much systemd may find exposed in the unit, of 10.
const maxExposure = 2.0

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestUnitIsHardened holds the units of deploy against systemd's own judgement.
func TestUnitIsHardened(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil && os.Getenv("POSTERN_TEST_TOOLS") == "require" {
		t.Fatal("systemd-analyze is missing; .ci/tools installs it")
	}
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	folder := t.TempDir()
	for _, name := range []string{"postern.service", "postern.socket"} {
		content, err := os.ReadFile("../../deploy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here; systemd wants one that is there.
		if err := os.WriteFile(filepath.Join(folder, name), []byte(strings.ReplaceAll(string(content), "/usr/bin/postern", "/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unit, socket := filepath.Join(folder, "postern.service"), filepath.Join(folder, "postern.socket")
	if out, err := exec.Command(analyze, "verify", "--man=no", unit, socket).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", unit).CombinedOutput()
	found := exposure.FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if got, _ := strconv.ParseFloat(string(found[1]), 64); got > maxExposure {
		t.Errorf("got exposure %v, want at most %v", got, maxExposure)
	}
}
