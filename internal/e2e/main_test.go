package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"postern/internal/postgrestest"

	"go.uber.org/goleak"
)

// buildFolder holds the binaries of this run.
var buildFolder string

// program gives the binary under test, built at its first use.
var program = sync.OnceValues(func() (string, error) { return build("postern", raceDetector) })

// plainProgram gives the binary as it is released: without the race detector, whose memory is its own.
var plainProgram = sync.OnceValues(func() (string, error) { return build("postern-plain", false) })

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run is TestMain with an end at which deferred calls are made.
func run(m *testing.M) int {
	var err error
	if buildFolder, err = os.MkdirTemp("", "postern-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildFolder)
	code := postgrestest.Suite{M: m}.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// build compiles cmd/postern under a name.
func build(name string, race bool) (string, error) {
	binary := filepath.Join(buildFolder, name)
	args := []string{"build", "-o", binary}
	cgo := "CGO_ENABLED=0" // as the product is built
	if race {
		args = append(args, "-race")
		cgo = "CGO_ENABLED=1" // which the race detector needs
	}
	cmd := exec.Command("go", append(args, "postern/cmd/postern")...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/postern: %w\n%s", err, out)
	}
	return binary, nil
}

// binary gives a program's path, or ends the test with the compiler's words.
func binary(t *testing.T, built func() (string, error)) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
