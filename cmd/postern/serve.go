package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
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
sessions go on for up to ` + drainTime.String() + `. A second signal ends it at once. SIGHUP has it take up its configuration file, SIGUSR2 what
postern upgrade does.

Sockets that systemd has opened for it are served in the place of the addresses of the configuration.`,
		Example: "  postern serve -c /etc/postern/postern.yaml",
		Args:    exactly(0),
	}
	path := configFlag(c)
	format := c.Flags().String("log-format", "text", "text or json")
	verbose := c.Flags().BoolP("verbose", "v", false, "log what happens before sign-in, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		// From here on, so that one that comes too early does not end the process: it counts once the gateway runs.
		orders := make(chan os.Signal, 4)
		signal.Notify(orders, syscall.SIGHUP, syscall.SIGUSR2)
		defer signal.Stop(orders)
		level := new(slog.LevelVar) // info
		if *verbose {
			level.Set(slog.LevelDebug)
		}
		sockets, predecessor := handover.Inherited()
		log, err := newLog(c.ErrOrStderr(), *format, level)
		if err != nil {
			return err
		}
		g, err := startGateway(c, *path, gateway.Options{Log: log, Level: level, Version: version, File: *path,
			Sockets: sockets, Predecessor: predecessor, Program: commandLine()})
		if err != nil {
			predecessor.Fail(err)
			return err
		}
		announce(g, log)
		return runUntil(c.Context(), g, log, orders)
	}
	return c
}

// startGateway starts a gateway with the configuration file at path.
func startGateway(c *cobra.Command, path string, o gateway.Options) (*gateway.Gateway, error) {
	loaded, err := loadConfig(c, path)
	if err != nil {
		return nil, err
	}
	g, err := gateway.Start(c.Context(), loaded, o)
	if err != nil {
		return nil, fmt.Errorf("the gateway does not start: %w", err)
	}
	return g, nil
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

// runUntil runs a gateway that serves, until ctx ends and it has stopped, or another process has taken its place and nobody
// needs this one any more. The service manager hears of it.
func runUntil(ctx context.Context, g *gateway.Gateway, log *slog.Logger, orders <-chan os.Signal) error {
	tell(daemon.SdNotifyReady)
	informed, leave := context.WithCancel(context.Background())
	defer leave()
	if supervised() {
		go keepInformed(informed, g, log)
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case order := <-orders:
			if order == syscall.SIGUSR2 {
				go func() { _, _ = g.Upgrade("SIGUSR2", 0) }() // it is in the log
				continue
			}
			reload(g)
		case <-g.Succeeded():
			leave() // the successor tells from now on
			tell("MAINPID=" + strconv.Itoa(g.Successor()))
			return g.HandOver(ctx, drainTime)
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
