package main

import (
	"fmt"
	"os"
	"text/tabwriter"
)

// measurements are what is measured, in the order of the table. Memory comes first, while the processes are fresh: what
// they have grown to under load they give back only slowly.
var measurements = []measurement{
	{names: []string{"idle session, fresh", "idle session, after 64 KB"}, units: []string{"KB", "KB"}, of: hasIMAP, measure: idle, once: true},
	{names: []string{"IMAP sign-ins, 32 at once", "CPU of a sign-in"}, units: []string{"1/s", "µs"}, of: hasIMAP, measure: signIns},
	{names: []string{"FETCH, one connection", "CPU of 1 GB by FETCH"}, units: []string{"MB/s", "s"}, of: hasIMAP, measure: fetches},
	{names: []string{"NOOP round trip, median"}, units: []string{"µs"}, of: hasIMAP, measure: noop},
	submissions("direct", "new connections", "1/s", newConnections),
	submissions("direct", "one connection", "1/s", oneConnection),
	submissions("direct", "30 MB messages", "MB/s", bigMessages),
	submissions("auto", "new connections", "1/s", newConnections),
	submissions("auto", "one connection", "1/s", oneConnection),
	submissions("auto", "30 MB messages", "MB/s", bigMessages),
	submissions("queue", "new connections", "1/s", newConnections),
	submissions("queue", "32 kept connections", "1/s", keptConnections),
	submissions("queue", "one connection", "1/s", oneConnection),
	submissions("queue", "30 MB messages", "MB/s", bigMessages),
	submissions("unlimited-queue", "new connections", "1/s", newConnections),
	submissions("unlimited-queue", "32 kept connections", "1/s", keptConnections),
	submissions("unlimited-queue", "one connection", "1/s", oneConnection),
	submissions("unlimited-queue", "30 MB messages", "MB/s", bigMessages),
}

// print prints the table: what each target gave, and the gateway against the others.
func (w *world) print(results map[string][]float64) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	header := "figure\tunit"
	for _, t := range w.targets {
		header += "\t" + t.name
	}
	for _, t := range w.targets {
		if t.name != "postern" && t.name != "upstream" {
			header += "\tpostern/" + t.name
		}
	}
	fmt.Fprintln(table, header)
	for _, m := range measurements {
		for i, name := range m.names {
			fmt.Fprintln(table, w.row(name, m.units[i], results))
		}
	}
}

func (w *world) row(name, unit string, results map[string][]float64) string {
	row := name + "\t" + unit
	ours := median(results[name+"/postern"])
	for _, t := range w.targets {
		row += "\t" + number(median(results[name+"/"+t.name]))
	}
	for _, t := range w.targets {
		if t.name == "postern" || t.name == "upstream" {
			continue
		}
		if theirs := median(results[name+"/"+t.name]); theirs > 0 && ours > 0 {
			row += fmt.Sprintf("\t%.2f", ours/theirs)
		} else {
			row += "\t–"
		}
	}
	return row
}

func number(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
