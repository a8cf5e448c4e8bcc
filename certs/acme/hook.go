package acme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	// hookTime bounds one run of a hook.
	hookTime = 2 * time.Minute
	// hookWords bounds what is repeated of its output, in bytes.
	hookWords = 500
)

// Hook is a program that puts records into the DNS: it is run with the arguments present or cleanup, the name, and the
// value behind its own. Whatever DNS there is, such as acme-dns or a provider's, can be behind it.
type Hook struct {
	Command []string // the program and its first arguments
	// Propagation is the time until the authority can see a new record; zero where the program waits for that itself.
	Propagation time.Duration
}

// Present is of [DNS].
func (h Hook) Present(ctx context.Context, name, value string) error {
	return h.run(ctx, "present", name, value)
}

// Wait is of [DNS].
func (h Hook) Wait(ctx context.Context, _, _ string) error { return pause(ctx, h.Propagation) }

// CleanUp is of [DNS].
func (h Hook) CleanUp(ctx context.Context, name, value string) error {
	return h.run(ctx, "cleanup", name, value)
}

func (h Hook) run(ctx context.Context, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	command := exec.CommandContext(ctx, h.Command[0], append(append([]string{}, h.Command[1:]...), arguments...)...)
	command.WaitDelay = 5 * time.Second // for children that keep its output open
	output := &head{}
	command.Stdout, command.Stderr = output, output
	err := command.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within %s", hookTime)
	}
	if err != nil {
		return fmt.Errorf("hook %s %s: %w: %s", h.Command[0], arguments[0], err, strings.ToValidUTF8(strings.TrimSpace(output.kept.String()), "\uFFFD"))
	}
	return nil
}

// head keeps the beginning of what is written.
type head struct{ kept bytes.Buffer }

// Write is of [io.Writer].
func (h *head) Write(p []byte) (int, error) {
	_, _ = h.kept.Write(p[:min(len(p), hookWords-h.kept.Len())])
	return len(p), nil
}
