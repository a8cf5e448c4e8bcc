package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"postern/internal/audit"
	"postern/internal/keys"
	"postern/internal/store"
)

const (
	// crowd is how many idle sessions there are when their processor time is measured.
	crowd = 9000
	// crowdTime is for how long it is measured, after crowdRest.
	crowdTime, crowdRest = 20 * time.Second, 15 * time.Second
)

// printScale measures how the gateway's cost changes with the size of what it serves, and prints it. Each size has a process
// of its own.
func (w *world) printScale(ctx context.Context, s settings) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	if s.only.MatchString("users") {
		fmt.Fprintln(table, "\nusers in the config\tstart to first sign-in, ms\treload, ms\tmemory then, MB\tCPU of a sign-in, µs")
		for _, users := range []int{3, 10, 1000, 10_000, 100_000} {
			if err := w.scaleUsers(ctx, s, table, users); err != nil {
				return fmt.Errorf("%d users: %w", users, err)
			}
		}
	}
	if s.only.MatchString("records") {
		fmt.Fprintln(table, "\napp passwords, and as many lines in the audit log\tstart to first sign-in, ms\tCPU of a sign-in, µs")
		for _, records := range []int{10, 1000, 100_000} {
			if err := w.scaleRecords(ctx, s, table, records); err != nil {
				return fmt.Errorf("%d records: %w", records, err)
			}
		}
	}
	if s.only.MatchString("crowd") {
		cpu, n, err := w.crowdCPU()
		if err != nil {
			return fmt.Errorf("idle sessions: %w", err)
		}
		fmt.Fprintf(table, "\nCPU of %d idle sessions, %% of a core\t%.2f\n", n, cpu)
	}
	return nil
}

// scaleUsers prints the row of so many users: medians of the rounds.
func (w *world) scaleUsers(ctx context.Context, s settings, table *tabwriter.Writer, users int) error {
	var starts, reloads, memories, costs []float64
	for range s.rounds {
		t, file, err := w.deploy(ctx, users)
		if err != nil {
			return err
		}
		if err := w.serve(ctx, t, file); err != nil {
			return err
		}
		memories = append(memories, t.memory()/1e6)
		values, err := signIns(t, s)
		if err != nil {
			return err
		}
		starts = append(starts, float64(t.started.Milliseconds()))
		costs = append(costs, values[1])
		took, err := reload(ctx, file)
		if err != nil {
			return err
		}
		reloads = append(reloads, float64(took.Microseconds())/1000)
		w.stopLast()
	}
	_, err := fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.0f\t%.0f\n", users, median(starts), median(reloads), median(memories), median(costs))
	return err
}

// reload adds a user to a configuration file, and gives how long the gateway takes until that is in force: the file is read, held
// against the one before, and every session against it.
func reload(ctx context.Context, file string) (time.Duration, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	content = fmt.Appendf(content, posternUser, "one-more", "one-more", "contoso", "auto")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return 0, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(filepath.Dir(file), "postern.sock"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postern/reload", nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	took := time.Since(began)
	if err == nil && (response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("one-more"))) {
		err = fmt.Errorf("reloading answers %s: %.200s", response.Status, answer)
	}
	return took, err
}

// scaleRecords prints the row of so many app passwords and audit lines: the median of the rounds, all in one process, for
// filling the store takes long.
func (w *world) scaleRecords(ctx context.Context, s settings, table *tabwriter.Writer, records int) error {
	t, file, err := w.deploy(ctx, 1)
	if err != nil {
		return err
	}
	if err := fill(ctx, filepath.Dir(file), records); err != nil {
		return err
	}
	if err := w.serve(ctx, t, file); err != nil {
		return err
	}
	defer w.stopLast()
	var costs []float64
	for range s.rounds {
		values, err := signIns(t, s)
		if err != nil {
			return err
		}
		costs = append(costs, values[1])
	}
	_, err = fmt.Fprintf(table, "%d\t%d\t%.0f\n", records, t.started.Milliseconds(), median(costs))
	return err
}

// fill puts so many app passwords into a gateway's store, ten a login, and a line for each into its audit log.
func fill(ctx context.Context, folder string, records int) error {
	ring, err := keys.Open(filepath.Join(folder, "postern.keys"))
	if err != nil {
		return err
	}
	state, err := store.Open(ctx, "sqlite:"+filepath.Join(folder, "postern.db"), ring)
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }()
	log, err := audit.Open(filepath.Join(folder, "postern.audit"), nil)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for i := range records {
		p := store.Password{ID: fmt.Sprintf("bench-%d", i), Login: fmt.Sprintf("device-%d", i/10), Label: "bench", Protocols: []string{"imap"},
			Created: time.Now(), Evidence: store.Evidence{Method: "admin", By: "bench", At: time.Now()}}
		hash := sha256.Sum256([]byte(p.ID))
		if err := state.AddPassword(ctx, p, hash[:]); err != nil {
			return err
		}
		if err := log.Record(audit.SignIn{Outcome: audit.Allowed, Session: p.ID, Protocol: "imap", Login: p.Login}); err != nil {
			return err
		}
	}
	return nil
}

// stopLast stops what was started last.
func (w *world) stopLast() {
	last := len(w.closers) - 1
	w.closers[last]()
	w.closers = w.closers[:last]
}

// crowdCPU gives the processor time of a gateway of idle sessions, in percent of one processor, and their number: fewer than
// crowd where the system does not allow this process two files for each.
func (w *world) crowdCPU() (percent float64, n int, err error) {
	n = crowd
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		n = min(n, (int(files.Cur)-1000)/2)
	}
	for _, t := range w.targets {
		if t.name != "postern" {
			continue
		}
		sessions, err := t.sessions(n)
		defer hangUp(sessions)
		if err != nil {
			return 0, n, err
		}
		time.Sleep(crowdRest)
		before := t.cpu()
		time.Sleep(crowdTime)
		return 100 * (t.cpu() - before).Seconds() / crowdTime.Seconds(), n, nil
	}
	return 0, 0, nil
}
