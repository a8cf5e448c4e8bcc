// Command bench measures the gateway beside a bare relay and, where they are installed, beside the proxies of Dovecot and
// nginx and beside Postfix, in one run on one machine:
//
//	go run ./internal/bench
//
// The load, the upstream and the token service share the first processor; whatever is measured has the second for
// itself. Rounds are interleaved and medians are printed, with ratios: absolute figures move from machine to machine.
//
// Everything that an administrator would have on is on in the gateway: policy, app-password check, audit, probe of the
// mailbox. Clients do not resume TLS sessions; towards upstream the gateway does, as in production.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"time"
)

// roleVariable tells a child of this program what it is.
const roleVariable = "POSTERN_BENCH_ROLE"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if os.Getenv(roleVariable) == "floor" {
		return runFloor()
	}
	binary := flag.String("postern", "", "the gateway's binary; default: build it")
	rounds := flag.Int("rounds", 3, "interleaved rounds; the medians count")
	span := flag.Duration("span", 2*time.Second, "how long one measurement takes")
	sessions := flag.Int("sessions", 400, "idle sessions for the memory figures")
	only := flag.String("only", "", "measure only what fits this expression, such as 'idle.*/(floor|postern)', users, records or crowd; default: everything")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if os.Getenv(roleVariable) == "" {
		return runPinned(ctx)
	}
	return measureAll(ctx, settings{*binary, *rounds, *span, *sessions, pick})
}

// runPinned runs this program once more on the first processor.
func runPinned(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "taskset", append([]string{"-c", "0", self}, os.Args[1:]...)...)
	c.Env = append(os.Environ(), roleVariable+"=load")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	return c.Run()
}

type settings struct {
	binary   string
	rounds   int
	span     time.Duration
	sessions int
	only     *regexp.Regexp // of a figure, a slash and a target
}

// measurement gives one value or two, each with a name and a unit.
type measurement struct {
	names, units []string
	of           func(*target) bool // whom it can be measured of
	measure      func(*target, settings) ([]float64, error)
	once         bool // in the first round only, for it takes long and varies little
}

// measureAll starts what there is to measure, measures in rounds, and prints the table.
func measureAll(ctx context.Context, s settings) error {
	w, err := newWorld(ctx, s.binary)
	if err != nil {
		return err
	}
	defer w.close()
	results := make(map[string][]float64) // figure and target → what the rounds gave
	for round := range s.rounds {
		for _, m := range measurements {
			for _, t := range w.targets {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if m.once && round > 0 || !m.of(t) || !s.only.MatchString(m.names[0]+"/"+t.name) {
					continue
				}
				fmt.Fprintf(os.Stderr, "\rround %d of %d: %-40s %-12s", round+1, s.rounds, m.names[0], t.name)
				values, err := m.measure(t, s)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", m.names[0], t.name, err)
				}
				for i, value := range values {
					key := m.names[i] + "/" + t.name
					results[key] = append(results[key], value)
				}
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	w.print(results)
	return w.printScale(ctx, s)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}
