package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/gateway"
)

func newUpgrade() *cobra.Command {
	c := &cobra.Command{
		Use:   "upgrade -c FILE",
		Short: "Have the program as it is on the disk now take the running gateway's place",
		Long: `The running gateway starts its program anew, from the file that it was itself started from, and hands it all of its sockets: no
connection is refused, no session ends and no message is lost. The new process reads the configuration file as it is now. Where it does
not come to serve, the old one goes on, and the reason is what this command says; the exit code is 1. SIGUSR2 does the same.

Sessions go on in the old process, which ends when the last of them has, or after --drain.`,
		Example: `  apt install ./postern_1.5.0-1_amd64.deb && postern upgrade -c /etc/postern/postern.yaml
  postern upgrade --drain 5m`,
		Args: exactly(0),
	}
	path := configFlag(c)
	drain := c.Flags().Duration("drain", gateway.UpgradeDrain, "how long sessions of the old process may go on")
	asJSON := c.Flags().Bool("json", false, "print JSON: the processes, and how many sessions go on in the old one")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *drain <= 0 {
			return usageError{fmt.Errorf("--drain %s: want a time, such as 5m", *drain)}
		}
		running, err := reach(*path)
		if err != nil {
			return err
		}
		done, err := running.Upgrade(c.Context(), *drain)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, done)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "process %d serves now; %s of process %d may go on for up to %s\n",
			done.PID, counted(done.Sessions, "session", "sessions"), done.Before, done.Drain)
		return err
	}
	return c
}

// started is the file that this process was started from, found when it began: by then nobody has moved elsewhere. A name that leads
// to another version later leads there in an upgrade, too.
var started = func() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}()

// commandLine gives the program with its arguments, to be started once more.
func commandLine() []string { return append([]string{started}, os.Args[1:]...) }
