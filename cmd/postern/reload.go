package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload -c FILE",
		Short: "Have the running gateway take up its configuration file",
		Long: `The gateway reads the file that it was started with, and all files that it names. The new configuration is built whole
before it takes the place of the old one: a file that is wrong changes nothing, and the exit code is 1. Sessions go on, unless
what they stand on is not there any more. SIGHUP does the same, and so does a changed file by itself.`,
		Example: `  postern config diff && postern reload`,
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON: what has changed")
	c.RunE = func(c *cobra.Command, _ []string) error {
		running, err := reach(*path)
		if err != nil {
			return err
		}
		done, err := running.Reload(c.Context())
		if err != nil {
			return fmt.Errorf("nothing has changed: %w", err)
		}
		if *asJSON {
			return printJSON(c, done)
		}
		if err := printComparison(c, done.Comparison); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "reloaded; %s cut off\n", counted(done.Cut, "session", "sessions"))
		return err
	}
	return c
}
