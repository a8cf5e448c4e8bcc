package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/gateway"
)

func newBackup() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE | --verify FILE",
		Short: "Write a copy of the store and the configuration to one file, while the gateway runs",
		Long: `Writes one new file of mode 0600: the store as it is at one moment, with the queue and its messages, and the configuration. It
overwrites nothing, and needs room for twice the store while it works.

The keys file is NOT in it: without it a backup is worth nothing, with it as much as every mailbox that Postern opens. Keep a copy
of it apart. Nor are the audit log, certificates and secrets of the application.

On PostgreSQL the server's own tools make the copy; the error says how.`,
		Example: `  postern backup /backup/postern-$(date +%F).tar
  postern backup --verify /backup/postern-2026-11-24.tar`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	verify := c.Flags().String("verify", "", "hold everything in a backup against its checksums, and do nothing else")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	make := administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		m, err := admin.Backup(c.Context(), args[0], *path, version)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, m)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "written: %s, %s, %d messages in the queue\nthe keys file is not in it: keep a copy of it apart\n",
			args[0], size(m.Files[0].Size), m.Queue)
		return err
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *verify != "" && len(args) == 0:
			m, err := gateway.VerifyBackup(c.Context(), *verify)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c, m)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "whole: %s, made %s by postern %s, for the keys file of ring %s, %d messages in the queue\n",
				*verify, shortTime(m.Made), m.Version, m.Ring, m.Queue)
			return err
		case *verify == "" && len(args) == 1:
			return make(c, args)
		}
		return usageError{errors.New("name one file to write, or --verify FILE")}
	}
	return c
}

func newRestore() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE --to FOLDER | --mark --made TIME",
		Short: "Put a backup into an empty folder, with its queue held",
		Long: `Puts a backup into a folder that is empty or not there yet: postern.db, and postern.yaml as it was. Move the two to where they
belong, with the keys file of that time beside them, and start the gateway.

A backup is older than now. What was in its queue may have been sent since, so it is held: nothing is sent twice before somebody
says postern queue release --restored. What was taken away since would be there again: with --audit, the audit log of the time
since, app passwords that were revoked, second factors that were removed, locks and lockdowns are carried out again, and messages
that were delivered since are marked. Without it, do that by hand. App passwords that were issued since, and sign-ins of people, are
lost: they are made anew.

--mark does the same to the store that the configuration names, after pg_restore or a copy of your own: before any gateway starts on it.`,
		Example: `  postern restore /backup/postern-2026-11-24.tar --to /var/lib/postern.new --audit /var/lib/postern/postern.audit
  postern restore --mark --made 2026-11-24T03:00:00Z`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	to := c.Flags().String("to", "", "the folder")
	auditLog := c.Flags().String("audit", "", "the audit log of the time since the backup")
	mark := c.Flags().Bool("mark", false, "mark the store of the configuration, which was restored by other means")
	made := c.Flags().String("made", "", "when the copy was made, such as 2026-11-24T03:00:00Z; with --mark")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		var r gateway.Restored
		var err error
		switch {
		case !*mark && len(args) == 1 && *to != "" && *made == "":
			r, err = gateway.Restore(c.Context(), args[0], *to, *auditLog)
		case *mark && len(args) == 0 && *to == "" && *made != "":
			r, err = markRestored(c, *path, *made, *auditLog)
		default:
			return usageError{errors.New("name a backup and a folder: postern restore FILE --to FOLDER; or --mark --made TIME")}
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, r)
		}
		return printRestored(c, r)
	}
	return c
}

func markRestored(c *cobra.Command, path, made, auditLog string) (gateway.Restored, error) {
	at, err := time.Parse(time.RFC3339, made)
	if err != nil {
		return gateway.Restored{}, usageError{fmt.Errorf("--made %q is no time such as 2026-11-24T03:00:00Z", made)}
	}
	loaded, err := config.Load(path)
	if err != nil {
		return gateway.Restored{}, err
	}
	return gateway.MarkRestored(c.Context(), loaded, at, auditLog)
}

// printRestored says what was done, what may be stale, and what comes next.
func printRestored(c *cobra.Command, r gateway.Restored) error {
	out := c.OutOrStdout()
	if r.Folder != "" {
		fmt.Fprintf(out, "restored to %s: the store of %s, and postern.yaml as it was\n", r.Folder, shortTime(r.Made))
	} else {
		fmt.Fprintf(out, "marked: %s is a copy of %s\n", r.Store, shortTime(r.Made))
	}
	fmt.Fprintf(out, "queue: %d messages are held, since they may have been sent after that; postern queue list shows them, postern queue release --restored lets them go\n", r.Held)
	if r.Log {
		fmt.Fprintf(out, "from the audit log: %d app passwords are revoked again; locks, lockdowns and removed second factors are as they were last; %d of the held messages were delivered, bounced or dropped since, and are not let go with the others\n", r.Revoked, r.Sent)
	} else {
		fmt.Fprintln(out, "may be stale: app passwords that were revoked after that time are in force again, locks, lockdowns and second factors are as they were then; restore with --audit postern.audit to carry out what came since")
	}
	fmt.Fprintln(out, "lost: app passwords issued after that time; people who have enrolled or signed in since may have to do it again")
	if r.Ring != "" {
		fmt.Fprintf(out, "next: bring the keys file of ring %s, as it was then or later but with its old keys, and start the gateway\n", r.Ring)
	}
	_, err := fmt.Fprintln(out, "then: postern keys check")
	return err
}
