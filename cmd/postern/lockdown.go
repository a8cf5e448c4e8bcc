package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/gateway"
	"postern/internal/terminal"
)

func newLockdown() *cobra.Command {
	c := &cobra.Command{
		Use:   "lockdown LOGIN... | --policy NAME | --all",
		Short: "Cut somebody off, now: no sign-in, no session, no mail",
		Long: `Cuts off some logins, all that have a policy, or everybody. From the next sign-in on they are refused, which looks to the client
like a wrong password; running gateways end their sessions within a second; what they have in the queue stays there. It holds
over restarts and new configurations until postern lockdown lift, and --all holds for logins that nobody knows yet. No gateway
has to run.

App passwords and tokens stay as they are, so that all is as before once it is lifted, unless you say more:

  --revoke         revokes the app passwords in force, for good: new ones have to be issued
  --forget-tokens  removes what is kept of people's sign-ins, so that they sign in to Microsoft again

What is done is in the audit log first.`,
		Example: `  postern lockdown copier-3 --reason "sends spam"
  postern lockdown --policy device --reason "worm in the printer network"
  postern lockdown --all --yes
  postern lockdown lift --all`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(c)
	var order gateway.LockdownOrder
	lockdownFlags(c, &order)
	c.Flags().StringVar(&order.Reason, "reason", "", "why, for the audit log and for who looks at it later")
	c.Flags().BoolVar(&order.Revoke, "revoke", false, "revoke the app passwords, for good")
	c.Flags().BoolVar(&order.ForgetTokens, "forget-tokens", false, "remove the tokens: people have to sign in to Microsoft again")
	yes := c.Flags().Bool("yes", false, "do not ask before --all")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	run := administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		report, err := admin.Lockdown(c.Context(), order)
		if len(report.Lockdowns) == 0 {
			return err
		}
		if *asJSON {
			return errors.Join(err, printJSON(c, report))
		}
		return errors.Join(err, reportLockdown(c, report, order))
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := named(&order, args); err != nil {
			return err
		}
		if order.All && !*yes && !confirmed(c, "This cuts off everybody, at once.") {
			return errors.New("nothing was done")
		}
		return run(c, args)
	}
	c.AddCommand(newLockdownLift(), newLockdownStatus())
	return c
}

// lockdownFlags adds the flags that say whom a command is about.
func lockdownFlags(c *cobra.Command, order *gateway.LockdownOrder) {
	c.Flags().StringVar(&order.Policy, "policy", "", "all logins with this policy")
	c.Flags().BoolVar(&order.All, "all", false, "everybody, also logins that nobody knows yet")
}

// named takes the logins into an order, and gives an error unless it is about one kind of them.
func named(order *gateway.LockdownOrder, logins []string) error {
	order.Logins = logins
	kinds := 0
	for _, is := range []bool{len(logins) > 0, order.Policy != "", order.All} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return usageError{errors.New("name one of logins, --policy NAME, or --all")}
	}
	return nil
}

// confirmed asks whoever sits at the terminal. A program that has none knows what it does.
func confirmed(c *cobra.Command, what string) bool {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return true
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s Go on? [y/N] ", what)
	answer, _ := bufio.NewReader(in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// reportLockdown says what a lockdown has done, what it has not, and how to come back.
func reportLockdown(c *cobra.Command, r gateway.LockdownReport, order gateway.LockdownOrder) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, l := range r.Lockdowns {
		fmt.Fprintf(w, "lockdown\t%s, since %s by %s %s\n", terminal.Text(l.Words()), shortTime(l.Since), l.By, terminal.Text(l.Reason))
	}
	switch {
	case !r.Running:
		fmt.Fprintln(w, "sessions\tno gateway answers on this machine; those that share the store end theirs within a second")
	case r.Lingering > 0:
		fmt.Fprintf(w, "sessions\t%d ended; %d still go on: postern session list\n", r.Sessions, r.Lingering)
	default:
		fmt.Fprintf(w, "sessions\t%d ended\n", r.Sessions)
	}
	fmt.Fprintf(w, "queue\t%d messages held: they go on by themselves once it is lifted\n", r.Held)
	if order.Revoke {
		fmt.Fprintf(w, "passwords\t%d revoked, for good: postern password issue makes new ones\n", r.Revoked)
	} else {
		fmt.Fprintln(w, "passwords\tkept, and refused until it is lifted; --revoke revokes them for good")
	}
	if order.ForgetTokens {
		fmt.Fprintf(w, "tokens\tof %d accounts removed: their people have to sign in to Microsoft again\n", r.Forgotten)
	} else {
		fmt.Fprintln(w, "tokens\tkept, and not used for them; --forget-tokens removes them")
	}
	fmt.Fprintln(w, "still allowed\tother logins; the portal, which issues and renews no app password for those cut off; commands on this server")
	for _, l := range r.Lockdowns {
		fmt.Fprintf(w, "to come back\t%s\n", terminal.Text(l.Lift()))
	}
	return w.Flush()
}

func newLockdownLift() *cobra.Command {
	c := &cobra.Command{
		Use:   "lift LOGIN... | --policy NAME | --all",
		Short: "End a lockdown",
		Long: `Ends a lockdown: it names what the lockdown named. --all ends the one that is for everybody, and leaves those of single logins
and policies. Held messages go on within half a minute.`,
		Example: `  postern lockdown lift copier-3
  postern lockdown lift --all`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(c)
	var order gateway.LockdownOrder
	lockdownFlags(c, &order)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	run := administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		lifted, left, err := admin.LiftLockdown(c.Context(), order)
		if *asJSON {
			return errors.Join(err, printJSON(c, map[string]any{"lifted": words(lifted), "left": words(left)}))
		}
		for _, l := range lifted {
			fmt.Fprintf(c.OutOrStdout(), "lifted: %s\n", terminal.Text(l.Words()))
		}
		for _, l := range left {
			fmt.Fprintf(c.OutOrStdout(), "still on: %s; %s\n", terminal.Text(l.Words()), terminal.Text(l.Lift()))
		}
		return err
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := named(&order, args); err != nil {
			return err
		}
		return run(c, args)
	}
	return c
}

// words names lockdowns; never nil.
func words(all []gateway.Lockdown) []string {
	list := []string{}
	for _, l := range all {
		list = append(list, l.Words())
	}
	return list
}

func newLockdownStatus() *cobra.Command {
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show the lockdowns that are on",
		Example: "  postern lockdown status",
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one lockdown a line")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		all, err := admin.Lockdowns(c.Context())
		if err != nil {
			return err
		}
		var rows []table.Row
		for _, l := range all {
			if *asJSON {
				if err := printJSON(c, l); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, table.Row{terminal.Text(l.Words()), shortTime(l.Since), l.By, terminal.Text(l.Reason), l.Logins, l.Queued, terminal.Text(l.Lift())})
		}
		switch {
		case *asJSON:
		case len(rows) == 0:
			_, err = fmt.Fprintln(c.OutOrStdout(), "no lockdown is on")
		default:
			printTable(c, table.Row{"for", "since", "by", "reason", "logins", "in the queue", "to lift"}, rows)
		}
		return err
	})
	return c
}
