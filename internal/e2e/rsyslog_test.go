package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// siem is a deployment whose audit log goes to an rsyslog.
type siem struct {
	*deployment
	*gateway
	address, conf, file string // where rsyslog listens, its configuration, and where it writes to
	rsyslog             *process
}

// rsyslogConf receives by TLS and writes what stands before a message and the message.
const rsyslogConf = `global(workDirectory=%[1]q maxMessageSize="1m" net.enableDNS="off"
  defaultNetstreamDriverCAFile=%[2]q defaultNetstreamDriverCertFile=%[3]q defaultNetstreamDriverKeyFile=%[4]q)
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port=%[5]q)
template(name="all" type="string" string="%%PRI%% %%hostname%% %%app-name%% %%msgid%% %%structured-data%%\n%%msg%%\n")
action(type="omfile" file=%[6]q template="all")
`

// startSIEM starts rsyslog and a gateway that sends to it.
func startSIEM(t *testing.T) *siem {
	t.Helper()
	need(t, "rsyslogd")
	postern := binary(t, program)
	s := startSim(t, postern)
	h := &siem{address: freeAddress(t)}
	h.deployment, h.gateway = deploy(t, s, s.upstreams())
	folder := t.TempDir()
	cert, key := issue(t, h.authority, folder)
	h.file = filepath.Join(folder, "received")
	h.conf = write(t, folder, "rsyslog.conf", fmt.Sprintf(rsyslogConf, folder, h.CAFile, cert, key, port(t, h.address), h.file))
	h.start(t)
	text, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, h.folder, "postern.yaml", string(text)+fmt.Sprintf("audit: {syslog: {address: %q, ca_file: %q}}\n", h.address, h.CAFile))
	h.serve(t, h.gateway, postern)
	return h
}

// start starts rsyslog.
func (h *siem) start(t *testing.T) {
	t.Helper()
	h.rsyslog = start(t, need(t, "rsyslogd"), "-n", "-f", h.conf, "-i", filepath.Join(t.TempDir(), "pid"))
	h.rsyslog.listening(t, h.address)
}

// kill ends rsyslog as a crash would.
func (h *siem) kill(t *testing.T) {
	t.Helper()
	h.rsyslog.asked.Do(func() {}) // the end is no clean one
	if err := h.rsyslog.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.rsyslog.ended
}

// log gives the lines of the audit log as they are.
func (h *siem) log(t *testing.T) []string {
	t.Helper()
	h.audit(t) // they are one chain
	text, err := os.ReadFile(h.auditFile())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

// received holds what rsyslog has to the log: every line from the first on is there, whole, and those that came again came after a
// lost connection, from some line on in order.
func (h *siem) received(t *testing.T) error {
	t.Helper()
	text, err := os.ReadFile(h.file)
	if err != nil {
		return err
	}
	log := h.log(t)
	have, at := 0, 0 // lines that are there without a gap; the one that is expected next
	rest := slices.Collect(bytes.Lines(text))
	for ; len(rest) > 1; rest = rest[2:] {
		var line auditLine
		if err := json.Unmarshal(rest[1], &line); err != nil || line.Seq < 1 || line.Seq > int64(have+1) {
			return fmt.Errorf("after %d lines of %d there is %q (%v)", have, len(log), rest[1], err)
		}
		if seq := int(line.Seq); seq != at+1 && at != have {
			return fmt.Errorf("line %d after line %d, which had come before", seq, at)
		}
		at = int(line.Seq)
		have = max(have, at)
		head := fmt.Sprintf(" localhost postern %s [meta sequenceId=\"%d\"]\n", line.Kind, at)
		if got := string(rest[1]); got != log[at-1] || !strings.HasSuffix(string(rest[0]), head) {
			return fmt.Errorf("got %q and %q, want %q and %q", rest[0], got, head, log[at-1])
		}
	}
	if have != len(log) {
		return fmt.Errorf("%d lines of %d are there", have, len(log))
	}
	return nil
}

// TestI43SyslogToRsyslog: an rsyslog has every line of the audit log, whole and in order, over TLS. While it hangs and while it is
// dead, mail goes on; when it is back it gets what it has missed, what is privileged and all the rest (threat model I-43).
func TestI43SyslogToRsyslog(t *testing.T) {
	t.Parallel()
	h := startSIEM(t)
	postern := binary(t, program)
	alice := h.named(t, "alice@contoso.example")
	mail := func(what string) {
		t.Helper()
		if got := h.smtpSend(t, h.gateway, alice); !strings.HasPrefix(got, "250 ") {
			t.Errorf("%s: a message got %q", what, got)
		}
	}
	all := func(what string) {
		t.Helper()
		eventually(t, 2*readyTime, what+": every line at rsyslog", func() error { return h.received(t) })
	}
	mail("with rsyslog")
	all("with rsyslog")

	if err := h.rsyslog.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	mail("while rsyslog hangs")
	h.issue(t, h.gateway, postern, alice)
	h.kill(t)
	mail("without rsyslog")
	command{path: postern, args: []string{"user", "lock", "copier-3", "--reason", "lost", "-c", h.config}}.must(t)
	eventually(t, readyTime, "the gateway sees that rsyslog is gone", func() error {
		if !strings.Contains(h.stderr.String(), "the audit log does not reach its syslog receiver") {
			return fmt.Errorf("it has not said so")
		}
		return nil
	})
	mail("long after rsyslog")
	h.start(t)
	all("when rsyslog is back")
	for _, kind := range []string{"password-issued", "login-locked"} {
		if !h.audited(t, `"kind":"`+kind+`"`) {
			t.Errorf("no %s in the log: nothing was tested", kind)
		}
	}

	// At the stop rsyslog answers the end of the connection, which is how the gateway knows that it has had everything.
	h.gateway.stop(t)
	all("after the stop")
	text, err := os.ReadFile(h.auditFile() + ".syslog")
	var place struct{ Seq int }
	if err == nil {
		err = json.Unmarshal(text, &place)
	}
	if want := len(h.log(t)); err != nil || place.Seq != want {
		t.Errorf("the gateway knows of %d lines that rsyslog has had (%v), want %d", place.Seq, err, want)
	}
}
