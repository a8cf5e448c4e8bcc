package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/config"
)

func newConfig() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Look at the configuration file",
	}, newConfigCheck(), newConfigDiff(), newConfigSchema())
}

func newConfigCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Say whether the file is right, and if not, all that is wrong with it",
		Long: `Reads the file and the files that it names and prints every problem with its line and column. Nothing is changed and
nothing is connected to. The exit code is 0 for a file that can be run and 1 for one that cannot.`,
		Example: "  postern config check -c postern.yaml",
		Args:    exactly(0),
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := loadConfig(c, *path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s is right: %s\n", *path, loaded.Summary())
		return err
	}
	return c
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the file's JSON Schema, for editors",
		Example: `  postern config schema > postern.schema.json
  # and in the first line of postern.yaml:
  # yaml-language-server: $schema=postern.schema.json`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(schema)
			return err
		},
	}
}
