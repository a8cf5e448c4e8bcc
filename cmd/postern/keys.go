package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/gateway"
	"postern/internal/terminal"
)

func newKeys() *cobra.Command {
	return group(&cobra.Command{
		Use:   "keys",
		Short: "Look at the keys that seal what is stored, and rotate them",
		Long: `The keys file (keys_file in the configuration) has keys that seal what is stored, that hash app passwords, and that sign the heads
of the audit log. Whoever has had a look at it can open a copy of the store: then rotate the keys, and retire the old ones.`,
	}, newKeysList(), newKeysCheck(), newKeysRotate(), newKeysRetire())
}

// walking shows on a terminal how far a walk through all that is sealed has come.
func walking(c *cobra.Command) (told gateway.KeyWalk, over func()) {
	out, ok := c.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) {
		return func(string, int) {}, func() {}
	}
	const clear = "\r\x1b[K"
	return func(what string, done int) { fmt.Fprintf(out, "%s%s: %d", clear, what, done) }, func() { fmt.Fprint(out, clear) }
}

func newKeysList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys, and what is under each",
		Long: `Lists the keys of the keys file by their ids, which are no secrets, with the records that each has sealed and the app passwords
in force that each has hashed.`,
		Example: "  postern keys list",
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one key a line")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		list, err := admin.Keys(c.Context())
		if err != nil {
			return err
		}
		var rows []table.Row
		for _, k := range list {
			if *asJSON {
				if err := printJSON(c, k); err != nil {
					return err
				}
				continue
			}
			under := "–"
			switch k.Use {
			case "seal":
				under = fmt.Sprintf("%d records", k.Records)
			case "hash":
				under = fmt.Sprintf("%d app passwords", k.Passwords)
			}
			rows = append(rows, table.Row{k.Use, k.ID, k.State, under})
		}
		if !*asJSON {
			printTable(c, table.Row{"use", "id", "state", "under it"}, rows)
		}
		return nil
	})
	return c
}

func newKeysCheck() *cobra.Command {
	c := &cobra.Command{
		Use:     "check",
		Short:   "Open everything that is sealed, and name what does not open",
		Example: "  postern keys check",
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		told, over := walking(c)
		records, broken, err := admin.CheckKeys(c.Context(), told)
		over()
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c, map[string]any{"records": records, "broken": append([]string{}, broken...)})
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d records open\n", records)
			printBroken(c, broken)
		}
		if len(broken) > 0 {
			err = errors.Join(err, fmt.Errorf("%d records do not open", len(broken)))
		}
		return err
	})
	return c
}

// printBroken names records that do not open.
func printBroken(c *cobra.Command, broken []string) {
	for _, name := range broken {
		fmt.Fprintln(c.OutOrStdout(), "does not open:", terminal.Text(name))
	}
}

func newKeysRotate() *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Put new keys into the keys file, and seal everything anew with them, while the gateway goes on",
		Long: `Adds a key that seals and one that hashes to the keys file, has the running gateway take them up, and seals everything anew that
was sealed with old keys. Nobody's session or sign-in is lost. It may be interrupted anywhere, also by a crash: called again, it
goes on where it was. Keep a copy of the keys file from before until it has ended, and make one of the new file.

App passwords are hashed, and cannot be hashed anew before they are used: each moves to the new key at its next use. The old
hashing key stays in the file until postern keys retire finds that none is left under it.

Where gateways on other machines share the store, it stops once the new keys are in the file: copy the file to all of them, then
call it with --nodes-have-it.

--retire removes the old keys in the end. A backup that was made before needs the old keys file.`,
		Example: `  postern keys rotate
  postern keys rotate --retire --signing`,
		Args: exactly(0),
	}
	path := configFlag(c)
	var r gateway.Rotation
	c.Flags().BoolVar(&r.Retire, "retire", false, "remove the old keys in the end")
	c.Flags().BoolVar(&r.Signing, "signing", false, "rotate the key that signs the audit log's heads, too; the old one goes on verifying")
	c.Flags().BoolVar(&r.Nodes, "nodes-have-it", false, "every other machine has the keys file as it is now")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		told, over := walking(c)
		done, err := admin.RotateKeys(c.Context(), r, told)
		over()
		return errors.Join(err, printRotated(c, done, *asJSON, err == nil))
	})
	return c
}

func newKeysRetire() *cobra.Command {
	c := &cobra.Command{
		Use:   "retire",
		Short: "Remove old keys that nothing is under any more",
		Long: `Removes the old keys that seal, once nothing is sealed with them, and the old keys that hash, once no app password in force is
under them. What was sealed with them elsewhere, such as in a backup, needs a copy of the keys file from before.`,
		Example: "  postern keys retire",
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		told, over := walking(c)
		done, err := admin.RetireKeys(c.Context(), told)
		over()
		return errors.Join(err, printRotated(c, done, *asJSON, err == nil))
	})
	return c
}

// printRotated says what a rotation has come to; whole is false when something went wrong on the way.
func printRotated(c *cobra.Command, r gateway.Rotated, asJSON, whole bool) error {
	out := c.OutOrStdout()
	switch {
	case asJSON:
		return printJSON(c, r)
	case r.Prepared:
		_, err := fmt.Fprintf(out, "new keys are in the keys file, and not used yet: gateways on %s share the store\ncopy the keys file to them, then: postern keys rotate --nodes-have-it\n",
			terminal.Text(strings.Join(r.Others, ", ")))
		return err
	case !whole:
		printBroken(c, r.Broken)
		return nil
	case r.Resumed:
		fmt.Fprintln(out, "the rotation that was begun before is ended; for new keys, call it again")
	}
	fmt.Fprintf(out, "%d records are sealed with the new key\n", r.Records)
	printBroken(c, r.Broken)
	if r.Waiting > 0 {
		fmt.Fprintf(out, "%d app passwords move to the new hashing key when they are used next; the old one stays for them\n", r.Waiting)
	}
	if r.Retired {
		fmt.Fprintln(out, "the old keys are removed: copies of the store from before need a copy of the keys file from before")
		return nil
	}
	_, err := fmt.Fprintln(out, "to remove the old keys: postern keys retire")
	return err
}
