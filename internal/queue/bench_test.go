package queue

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/keys"
	"postern/internal/postgrestest"
	"postern/internal/store"
)

// BenchmarkAccept is what a message costs that is on the disk before its 250, with 16 clients at once: their commits share
// syncs.
func BenchmarkAccept(b *testing.B) {
	for engine, database := range map[string]func(testing.TB) string{"sqlite": sqliteDatabase, "postgres": postgrestest.DurableDSN} {
		for name, size := range map[string]int{"4KB": 4 << 10, "1MB": 1 << 20} {
			b.Run(engine+"/"+name, func(b *testing.B) { benchmarkAccept(b, database(b), size) })
		}
	}
}

func benchmarkAccept(b *testing.B, dsn string, size int) {
	folder := b.TempDir()
	ring, err := keys.Create(filepath.Join(folder, "postern.keys"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), dsn, ring)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := &world{limits: Limits{Connections: 3}, clock: noon}
	q, err := Open(b.Context(), Config{Domain: "mail.test", Store: s, Files: TemporaryFiles(filepath.Join(folder, "spool")),
		Identities: w, Audit: w, Log: slog.New(slog.DiscardHandler), Now: w.now})
	if err != nil {
		b.Fatal(err)
	}
	defer closeAtOnce(q)
	text := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcd\r\n", size/32) + ".\r\n"
	b.SetBytes(int64(len(text)))
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			spool := q.NewSpool()
			_, _ = io.WriteString(spool, text)
			err := q.Accept(b.Context(), &Message{Submitter: copier, Sender: "a@b.example", Recipients: []Recipient{{Address: "c@d.example"}}}, spool, "a benchmark", false)
			if spool.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
