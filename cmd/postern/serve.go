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
)

// drainTime is how long sessions may go on after the gateway was told to stop.
const drainTime = 10 * time.Second

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use:     "serve -c FILE",
		Short:   "Run the gateway",
		Example: "  postern serve -c /etc/postern/postern.yaml",
		Args:    exactly(0),
	}
	path := configFlag(c)
	format := c.Flags().String("log-format", "text", "text or json")
	verbose := c.Flags().BoolP("verbose", "v", false, "log what happens before sign-in, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
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
		g, err := gateway.Start(c.Context(), loaded, gateway.Options{Log: log, Level: level, Version: version, File: *path})
		if err != nil {
			return fmt.Errorf("the gateway does not start: %w", err)
		}
		for _, a := range g.Addresses() {
			log.Info("serving", "protocol", a.Protocol, "tls", string(a.TLS), "address", a.Address)
		}
		if portal := g.Portal(); portal != "" {
			log.Info("serving the portal", "url", portal)
		}
		if figures := g.Metrics(); figures != "" {
			log.Info("serving figures", "url", "http://"+figures+"/metrics")
		}
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // without systemd it does nothing
		reloadOnHangUp(c.Context(), g)
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		log.Info("stopping", "drain", drainTime)
		return stop(g, drainTime)
	}
	return c
}

// reloadOnHangUp has the gateway take up its file at each SIGHUP, until ctx ends. systemd learns that it has begun and
// ended, for Type=notify-reload; whether it went well is in the log.
func reloadOnHangUp(ctx context.Context, g *gateway.Gateway) {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUps:
		}
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
		_, _ = g.ReloadFile("SIGHUP") // it is in the log
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	}
}

// stop takes a gateway down within a time.
func stop(g *gateway.Gateway, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return g.Stop(ctx)
}
