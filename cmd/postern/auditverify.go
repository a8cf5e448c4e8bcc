package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/gateway"
)

func newAuditVerify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Find out whether the audit log is what it was",
		Long: `Reads all files of the audit log and names every line that was changed, removed, moved, cut off or written anew. The signed heads
beside the log say what it was; a head that was kept elsewhere (--head) also shows whether log and heads were set back together.

Works on copies: --dir names their folder, --key the public key that postern audit key has printed. Ends with exit code 1 when something
is wrong.`,
		Example: `  postern audit verify
  postern audit verify --head /mnt/evidence/postern.heads
  postern audit verify --dir copies --key postern/audit/5f0c2d9e81b4a763+8bc5fe08+ASE5…`,
		Args: exactly(0),
	}
	path := configFlag(c)
	dir := c.Flags().String("dir", "", "the folder of the log's files, where they are copies; default that of the configuration's audit_file")
	name := c.Flags().String("file", "", "the name of the newest file in --dir; default that of audit_file, or postern.audit")
	heads := c.Flags().StringSlice("head", nil, "a file with signed heads that was kept elsewhere")
	trusted := c.Flags().StringSlice("key", nil, "a key that postern audit key has printed, or a file of them; default the keys_file of the configuration")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		folder, verification, err := verification(*path, *dir, *name, *trusted)
		if err != nil {
			return err
		}
		for _, file := range *heads {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			verification.Earlier[file] = content
		}
		report, err := audit.Verify(c.Context(), os.DirFS(folder), verification)
		if err != nil {
			return fmt.Errorf("reading the audit log in %s: %w", folder, err)
		}
		if *asJSON {
			err = printJSON(c, reportJSON(report))
		} else {
			printReport(c, report)
		}
		if err == nil && len(report.Problems) > 0 {
			err = fmt.Errorf("the audit log is not what it was; problems: %d", len(report.Problems))
		}
		return err
	}
	return c
}

// verification gives the folder of a log and what it is held against. The configuration is asked for what the flags leave open.
func verification(path, dir, name string, trusted []string) (folder string, v audit.Verification, err error) {
	v.Earlier = make(map[string][]byte)
	loaded, loadError := config.Load(path)
	if dir == "" || len(trusted) == 0 {
		if loadError != nil {
			if dir != "" {
				return "", v, fmt.Errorf("name the key with --key, as postern audit key prints it, or the configuration with -c: %w", loadError)
			}
			return "", v, loadError
		}
	}
	folder, v.Log = dir, cmp.Or(name, "postern.audit")
	if loadError == nil {
		folder, v.Log = cmp.Or(dir, filepath.Dir(loaded.AuditFile)), cmp.Or(name, filepath.Base(loaded.AuditFile))
	}
	if filepath.Base(v.Log) != v.Log {
		return "", v, usageError{fmt.Errorf("--file %q is not a name; its folder goes into --dir", v.Log)}
	}
	if len(trusted) == 0 {
		v.Verifiers, err = gateway.AuditTrust(loaded)
		return folder, v, err
	}
	var keys []string
	for _, key := range trusted {
		if content, err := os.ReadFile(key); err == nil {
			keys = append(keys, strings.Fields(string(content))...)
			continue
		}
		keys = append(keys, key)
	}
	if v.Verifiers, err = audit.ParseVerifiers(keys...); err != nil {
		return "", v, usageError{fmt.Errorf("--key: %w", err)}
	}
	return folder, v, nil
}

// printReport prints what was found, for people.
func printReport(c *cobra.Command, r audit.Report) {
	out := c.OutOrStdout()
	for _, p := range r.Problems {
		fmt.Fprintln(out, p)
	}
	if len(r.Problems) > 0 {
		return
	}
	fmt.Fprintf(out, "nothing was changed, removed, moved or put in: lines %d to %d, the last of %s; files: %d\n", r.First, r.Last, r.Until.Local().Format(time.DateTime), len(r.Files))
	fmt.Fprintf(out, "the newest of %d heads is of line %d, signed %s", r.Heads, r.Head.Seq, r.Head.Time.Local().Format(time.DateTime))
	if r.Since > 0 {
		fmt.Fprintf(out, "; the %d lines since then are held by the chain alone, which does not show what is cut off", r.Since)
	}
	fmt.Fprintln(out)
	if r.Pruned > 0 {
		fmt.Fprintf(out, "lines 1 to %d were removed by retention, and the log says so\n", r.Pruned)
	}
	if r.Torn > 0 {
		fmt.Fprintf(out, "lines that a crash left half: %d\n", r.Torn)
	}
	if r.Partial {
		fmt.Fprintln(out, "the last line has no end: it is being written, or a crash cut it")
	}
}

// verdict is a report for programs.
type verdict struct {
	OK       bool        `json:"ok"`
	Files    []string    `json:"files"`
	First    int64       `json:"first"`
	Last     int64       `json:"last"`
	Pruned   int64       `json:"pruned"`
	Torn     int         `json:"torn"`
	Heads    int         `json:"heads"`
	Head     *headJSON   `json:"head"`
	Since    int64       `json:"since_head"`
	Problems []wrongLine `json:"problems"`
}

type wrongLine struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	What string `json:"what"`
}

func reportJSON(r audit.Report) verdict {
	v := verdict{OK: len(r.Problems) == 0, Files: r.Files, First: r.First, Last: r.Last, Pruned: r.Pruned, Torn: r.Torn, Heads: r.Heads, Since: r.Since, Problems: []wrongLine{}}
	if r.Heads > 0 {
		h := newHeadJSON(r.Head)
		v.Head = &h
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, wrongLine(p))
	}
	return v
}

// headJSON is a head for programs.
type headJSON struct {
	Log  string    `json:"log"`
	Seq  int64     `json:"seq"`
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
}

func newHeadJSON(h audit.Head) headJSON { return headJSON{h.Log, h.Seq, h.Hash, h.Time.UTC()} }

func newAuditKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Print the public key that verifies the audit log",
		Long: `Prints the keys with which others verify the heads of this log, one a line, the one that signs now first. They are public: give them to
whoever keeps heads. Their form is that of C2SP's signed notes.`,
		Example: `  postern audit key > postern-audit.key
  postern audit verify --dir copies --key postern-audit.key`,
		Args: exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := config.Load(*path)
		if err != nil {
			return err
		}
		keys, err := gateway.AuditVerifiers(loaded)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return errors.New("the keys file has no key that signs yet; the next start of the gateway adds one")
		}
		if *asJSON {
			return printJSON(c, map[string][]string{"keys": keys})
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(keys, "\n"))
		return err
	}
	return c
}
