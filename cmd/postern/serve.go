package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"postern/internal/gateway"
	"postern/internal/handover"
)

// drainTime is how long sessions may go on after the gateway was told to stop.
const drainTime = 10 * time.Second

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run the gateway",
		Long: `Runs the gateway until SIGTERM or SIGINT: then it accepts nobody new, tells clients that are not in the middle of anything, and lets
sessions go on for up to ` + drainTime.String() + `. A second signal ends it at once. SIGHUP has it take up its configuration file.

Sockets that systemd has opened for it are served in the place of the addresses of the configuration.`,
		Example: "  postern serve -c /etc/postern/postern.yaml",
		Args:    exactly(0),
	}
	path := configFlag(c)
	format := c.Flags().String("log-format", "text", "text or json")
	verbose := c.Flags().BoolP("verbose", "v", false, "log what happens before sign-in, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		// From here on, so that one that comes too early does not end the process: it counts once the gateway runs.
		hangUps := make(chan os.Signal, 1)
		signal.Notify(hangUps, syscall.SIGHUP)
		defer signal.Stop(hangUps)
		level := new(slog.LevelVar) // info
		if *verbose {
			level.Set(slog.LevelDebug)
		}
		log, err := newLog(c.ErrOrStderr(), *format, level)
		if err != nil {
			return err
		}
		loaded, err := loadConfig(c, *path)
		if err != nil {
			return err
		}
		g, err := gateway.Start(c.Context(), loaded, gateway.Options{Log: log, Level: level, Version: version, File: *path, Sockets: handover.Inherited()})
		if err != nil {
			return fmt.Errorf("the gateway does not start: %w", err)
		}
		announce(g, log)
		return runUntil(c.Context(), g, log, hangUps)
	}
	return c
}

// announce says in the log where the gateway serves.
func announce(g *gateway.Gateway, log *slog.Logger) {
	for _, a := range g.Addresses() {
		log.Info("serving", "protocol", a.Protocol, "tls", string(a.TLS), "address", a.Address)
	}
	if portal := g.Portal(); portal != "" {
		log.Info("serving the portal", "url", portal)
	}
	if figures := g.Metrics(); figures != "" {
		log.Info("serving figures", "url", "http://"+figures+"/metrics")
	}
}

// runUntil runs a gateway that serves, until ctx ends and it has stopped. The service manager hears of it.
func runUntil(ctx context.Context, g *gateway.Gateway, log *slog.Logger, hangUps <-chan os.Signal) error {
	tell(daemon.SdNotifyReady)
	if supervised() {
		informed, leave := context.WithCancel(context.Background())
		defer leave()
		go keepInformed(informed, g, log)
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangUps:
			reload(g)
		}
	}
	tell(daemon.SdNotifyStopping)
	log.Info("stopping", "drain", drainTime)
	return stop(g, drainTime)
}

// reload has the gateway take up its file. The service manager learns that it has begun and ended, for Type=notify-reload;
// whether it went well is in the log.
func reload(g *gateway.Gateway) {
	tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	_, _ = g.ReloadFile("SIGHUP") // it is in the log
	tell(daemon.SdNotifyReady)
}

// stop takes a gateway down within a time.
func stop(g *gateway.Gateway, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return g.Stop(ctx)
}
