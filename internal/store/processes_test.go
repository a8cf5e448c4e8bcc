package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/keys"
)

// child runs the test of that name in a process of its own, where childSettings gives the settings.
func child(t *testing.T, settings ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), "POSTERN_TEST_CHILD="+strings.Join(settings, "\n"))
	return c
}

func childSettings() []string {
	if settings := os.Getenv("POSTERN_TEST_CHILD"); settings != "" {
		return strings.Split(settings, "\n")
	}
	return nil
}

func addOne(t *testing.T, s *Store, id string) {
	t.Helper()
	p := Password{ID: id, Login: "copier-3", Label: "copier", Created: time.Now()}
	if err := s.AddPassword(t.Context(), p, []byte(id)); err != nil {
		t.Fatal(err)
	}
}

// Several processes make and open the same database at the same time, and write.
func TestProcessesShareADatabase(t *testing.T) {
	const rounds = 20
	if settings := childSettings(); settings != nil {
		ring, err := keys.Open(settings[0])
		if err != nil {
			t.Fatal(err)
		}
		s := openAt(t, settings[1], ring)
		for i := range rounds {
			addOne(t, s, fmt.Sprintf("%s-%d", settings[2], i))
		}
		return
	}
	path, ring := database(t), newRing(t)
	children := make([]*exec.Cmd, 3)
	outputs := make([]strings.Builder, len(children))
	for i := range children {
		children[i] = child(t, ring.Path(), path, fmt.Sprint("child", i))
		children[i].Stdout, children[i].Stderr = &outputs[i], &outputs[i]
		if err := children[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, path, ring)
	for i := range rounds {
		addOne(t, s, fmt.Sprintf("parent-%d", i))
	}
	for i, c := range children {
		if err := c.Wait(); err != nil {
			t.Errorf("child %d: %v\n%s", i, err, &outputs[i])
		}
	}
	all, err := s.Passwords(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := rounds * (len(children) + 1); len(all) != want {
		t.Errorf("got %d passwords, want %d", len(all), want)
	}
}

// What a process was told is written is there after it was killed.
func TestKilledProcessLosesNothing(t *testing.T) {
	if settings := childSettings(); settings != nil {
		ring, err := keys.Open(settings[0])
		if err != nil {
			t.Fatal(err)
		}
		s := openAt(t, settings[1], ring)
		for i := 0; ; i++ {
			addOne(t, s, fmt.Sprint("id", i))
			fmt.Println("added", i)
		}
	}
	path, ring := database(t), newRing(t)
	c := child(t, ring.Path(), path)
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	added := -1
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "added %d", &added); err != nil {
			t.Errorf("the child says %q", lines.Text())
		}
		if added == 50 {
			_ = c.Process.Signal(syscall.SIGKILL) // while it goes on writing; lines that are there already still count
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || added < 50 {
		t.Fatalf("the child ended with %v after %d", err, added)
	}
	s := openAt(t, path, ring)
	all, err := s.Passwords(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < added+1 {
		t.Errorf("got %d passwords, want the %d that the child had added", len(all), added+1)
	}
}
