package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"postern/internal/gateway"
)

// statusEvery is how often the service manager hears how the gateway is, unless its watchdog wants to hear more often.
const statusEvery = 10 * time.Second

// tellTime is how long the service manager may take to hear something. One that does not listen holds nothing up.
const tellTime = time.Second

// supervised reports whether there is a service manager that wants to hear of the gateway (sd_notify(3)). Without one, telling
// it anything does nothing.
func supervised() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// tell tells the service manager something. The library's function for it waits for as long as it takes.
func tell(state string) {
	if !supervised() {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetWriteDeadline(time.Now().Add(tellTime))
	_, _ = conn.Write([]byte(state))
}

// keepInformed tells the service manager how the gateway is, until ctx ends: what it does, and, for the watchdog, that it is
// alive. Of one that is not, the watchdog hears nothing, and ends it.
func keepInformed(ctx context.Context, g *gateway.Gateway, log *slog.Logger) {
	every := statusEvery
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("the service manager's watchdog is not told that the gateway is alive", "error", err)
	}
	if watchdog > 0 {
		every = min(every, watchdog/3)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := ""
	for {
		if watchdog > 0 {
			if err := g.Alive(); err != nil {
				log.Error("the gateway does not answer: its watchdog is not told that it is alive", "error", err)
			} else {
				tell(daemon.SdNotifyWatchdog)
			}
		}
		asked, cancel := context.WithTimeout(ctx, every)
		if now := g.Status(asked); now != last && ctx.Err() == nil {
			tell("STATUS=" + now)
			last = now
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
