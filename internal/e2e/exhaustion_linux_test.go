package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reliefTime is how soon after its relief the gateway has to be back to normal (threat model I-31).
const reliefTime = 5 * time.Second

// filesLeft sets the limit on the gateway's open files so that it can open so many more, and gives the one before.
func (g *gateway) filesLeft(t *testing.T, more int) (before string) {
	t.Helper()
	before = strings.Fields(command{path: need(t, "prlimit"), args: []string{"--pid", g.pid(), "--nofile", "--noheadings", "--output", "SOFT"}}.must(t))[0]
	open, err := os.ReadDir(filepath.Join("/proc", g.pid(), "fd"))
	if errors.Is(err, os.ErrPermission) {
		t.Skip("the gateway's descriptors are root's alone to see")
	}
	if err != nil {
		t.Fatal(err)
	}
	var used []int
	for _, entry := range open {
		n, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, n)
	}
	limit := 0 // the system gives the lowest number that is free, and none from the limit on
	for free := 0; ; limit++ {
		if !slices.Contains(used, limit) {
			if free == more {
				break
			}
			free++
		}
	}
	g.limitFiles(t, strconv.Itoa(limit))
	return before
}

func (g *gateway) limitFiles(t *testing.T, soft string) {
	t.Helper()
	command{path: need(t, "prlimit"), args: []string{"--pid", g.pid(), "--nofile=" + soft + ":"}}.must(t)
}

func (g *gateway) pid() string { return strconv.Itoa(g.cmd.Process.Pid) }

// TestI31OutOfFiles takes the gateway's descriptors away: sessions go on, a client for whose upstream there is none hears
// of it as temporary, one that cannot even be accepted waits, and once there are some again all is as before.
func TestI31OutOfFiles(t *testing.T) {
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, binary(t, program))
	user := alice(t, g)
	live := g.signIn(t, user, "imap", "smtp")

	before := g.filesLeft(t, 1)
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "NO [UNAVAILABLE]") {
		t.Errorf("a client for whose upstream there is no descriptor heard %q, want NO [UNAVAILABLE]", got)
	}
	// That client's connection is open still, and has the last one.
	if got := live[1].say(t, "4", "MAIL FROM:<"+user.Mailbox+">"); !strings.HasPrefix(got, "451 4.4.1") {
		t.Errorf("a message without a descriptor for upstream got %q, want 451 4.4.1", got)
	}
	served := make(chan string, 1)
	trust := g.trust(t)
	go func() { // accepted by the system, and not by the gateway
		answer, conn, err := signInAnswer(g.IMAPS, trust, user)
		if err == nil {
			_ = conn.Close()
		}
		served <- answer + fmt.Sprint(" ", err)
	}()
	live[0].say(t, "c OK", "DONE")
	live[0].say(t, "d OK", "d NOOP")
	eventually(t, 20*time.Second, "the gateway says that it cannot accept", func() error {
		if !strings.Contains(g.stderr.String(), "cannot accept connections") {
			return errors.New("it does not")
		}
		return nil
	})

	g.limitFiles(t, before)
	select {
	case got := <-served:
		if !strings.HasPrefix(got, "OK") {
			t.Errorf("the client that had waited heard %q", got)
		}
	case <-time.After(reliefTime):
		t.Errorf("the client that waits is not served %v after there are descriptors again", reliefTime)
	}
	at := time.Now()
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") || time.Since(at) > reliefTime {
		t.Errorf("afterwards a client heard %q after %v", got, time.Since(at))
	}
	if got := live[1].say(t, "", "MAIL FROM:<"+user.Mailbox+">"); !strings.HasPrefix(got, "250") {
		t.Errorf("afterwards a message got %q", got)
	}
	live[0].say(t, "e OK", "e NOOP")
}

// smallDisk mounts a file system of so many bytes at an empty folder, for as long as the test runs. Only root can.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
		t.Skip("a file system of its own cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error("unmounting:", err)
		}
	})
	return folder
}

// fill takes all space that a folder's file system has left.
func fill(t *testing.T, folder string) (relieve func()) {
	t.Helper()
	path := filepath.Join(folder, "full")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestI31DiskFull fills the disk that the store and the audit log are on: sessions go on, what cannot be recorded or kept
// is told as temporary and never as a wrong password, and once there is room all is as before. Every message that was
// answered 250 has arrived in the end.
func TestI31DiskFull(t *testing.T) {
	s := startSim(t, binary(t, program))
	d, g := deploy(t, s, s.upstreams())
	disk := smallDisk(t, 64<<20)
	d.change(t, "store: sqlite:postern.db", "store: sqlite:"+filepath.Join(disk, "postern.db"),
		"audit_file: postern.audit", "audit_file: "+filepath.Join(disk, "postern.audit"),
		"device: {protocols: [smtp]}", "device: {protocols: [smtp], send: {delivery: queue}}",
		"    endpoints:", "    smtp_messages_per_minute: 10000\n    endpoints:")
	d.serve(t, g, binary(t, program))
	user, device := alice(t, g), copier(t, g)
	live := g.signIn(t, user, "imap")[0]
	sender := g.signIn(t, device, "smtp")[0]
	accepted := 0
	send := func() string {
		sender.say(t, "250", "MAIL FROM:<"+device.Mailbox+">")
		sender.say(t, "250", "RCPT TO:<"+user.Mailbox+">")
		sender.say(t, "354", "DATA")
		got := sender.say(t, "", "Subject: full\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", 2000)+".")
		if strings.HasPrefix(got, "250") {
			accepted++
		}
		return got
	}
	if got := send(); !strings.HasPrefix(got, "250") {
		t.Fatalf("before: a message got %q", got)
	}

	relieve := fill(t, disk)
	// There is room in pages and files that are there already.
	refused := func(what, want, served string, try func() string) {
		t.Helper()
		for range 200 {
			got := try()
			if strings.HasPrefix(got, want) {
				return
			}
			if !strings.HasPrefix(got, served) {
				t.Fatalf("%s on a full disk got %q, want %s", what, got, want)
			}
		}
		t.Fatalf("%s was never refused on a full disk", what)
	}
	refused("a message", "452 4.3.1", "250", send)
	refused("an IMAP client", "NO [UNAVAILABLE]", "OK", func() string { return d.imapSignIn(t, g, user) })
	refused("a wrong password", "NO [UNAVAILABLE]", "NO [AUTHENTICATIONFAILED]", func() string { return d.imapSignIn(t, g, nobody(t, g)) })
	live.say(t, "c OK", "DONE")
	live.say(t, "d OK", "d NOOP")

	relieve()
	eventually(t, reliefTime, "a client is let in again", func() error {
		if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
			return errors.New(got)
		}
		return nil
	})
	if got := send(); !strings.HasPrefix(got, "250") {
		t.Errorf("afterwards a message got %q", got)
	}
	live.say(t, "e OK", "e NOOP")
	d.emptyQueue(t)
	if got := len(messages(t, g.open(t, user), "INBOX")); got != accepted {
		t.Errorf("%d messages have arrived, want the %d that were answered 250", got, accepted)
	}
}
