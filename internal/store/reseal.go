package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"postern/internal/keys"
)

// sealedTable is a table with sealed content: how its rows are read, and where each one's place is.
type sealedTable struct {
	words   string   // for people
	table   string   // its name
	key     []string // the columns of its primary key
	columns string   // what read wants, sealed among them
	batch   int      // rows at a time
	read    func(scanner) (sealedRow, error)
}

// sealedRow is the sealed content of one row.
type sealedRow struct {
	key    []any
	sealed []byte
	place  []byte // associated data
}

// sealedTables gives all tables with sealed content. sessionPlace gives the place of a portal session by its hash: their
// content is the portal's to seal.
func sealedTables(sessionPlace func(hash []byte) []byte) []sealedTable {
	const small = 64
	return []sealedTable{
		{"token caches", "token_caches", []string{"provider", "tenant_id", "owner", "kind"}, "provider, tenant_id, owner, kind, sealed", small, readTokenCache},
		{"second factors", "factors", []string{"id"}, factorColumns, small, readFactor},
		{"enrolments under way", "ceremonies", []string{"browser", "purpose"}, ceremonyColumns, small, readCeremony},
		{"portal sessions", "portal_sessions", []string{"hash"}, "hash, sealed", small, func(row scanner) (r sealedRow, err error) {
			var hash []byte
			err = row.Scan(&hash, &r.sealed)
			r.key, r.place = []any{hash}, sessionPlace(hash)
			return r, err
		}},
		{"certificates", "certificate_items", []string{"name"}, "name, sealed", small, readCertificate},
		{"queued messages", "queue_messages", []string{"id"}, "id, mailbox, login, size, parts, accepted, sealed", small, readQueued},
		{"parts of queued messages", "queue_parts", []string{"message", "number"}, "message, number, sealed", 4, readPart},
	}
}

func readTokenCache(row scanner) (r sealedRow, err error) {
	var k TokenCacheKey
	err = row.Scan(&k.Provider, &k.TenantID, &k.Owner, &k.Kind, &r.sealed)
	r.key, r.place = []any{k.Provider, k.TenantID, k.Owner, k.Kind}, k.associatedData()
	return r, err
}

func readFactor(row scanner) (sealedRow, error) {
	f, err := scanFactor(row)
	return sealedRow{[]any{f.ID}, f.Content, f.associatedData()}, err
}

func readCeremony(row scanner) (sealedRow, error) {
	var c Ceremony
	var expires sql.NullInt64
	err := row.Scan(&c.Browser, &c.Purpose, &c.TenantID, &c.ObjectID, &expires, &c.Content)
	return sealedRow{[]any{c.Browser, c.Purpose}, c.Content, c.associatedData()}, err
}

func readCertificate(row scanner) (r sealedRow, err error) {
	var name string
	err = row.Scan(&name, &r.sealed)
	r.key, r.place = []any{name}, certificatePlace(name)
	return r, err
}

func readQueued(row scanner) (r sealedRow, err error) {
	var m QueuedMessage
	var accepted sql.NullInt64
	err = row.Scan(&m.ID, &m.Mailbox, &m.Login, &m.Size, &m.Parts, &accepted, &r.sealed)
	m.Accepted = fromMillis(accepted)
	r.key, r.place = []any{m.ID}, m.associatedData()
	return r, err
}

func readPart(row scanner) (r sealedRow, err error) {
	var message string
	var number int
	err = row.Scan(&message, &number, &r.sealed)
	r.key, r.place = []any{message, number}, partData(message, number)
	return r, err
}

// Sealing says how far a walk through all that is sealed has come.
type Sealing struct {
	What string // token caches, queued messages, …
	Done int    // rows of it that were looked at
	// Counts has the records by the key that they are sealed with now.
	Counts map[uint32]int
	// Broken are records that do not open, such as token caches 3: they stay as they are.
	Broken []string
}

// Reseal seals everything anew that is not sealed with the primary key, in small transactions, while others use the store:
// what somebody changes meanwhile is theirs. It may be killed anywhere; what it has not come to opens as before, and the
// next call goes on. What does not open stays as it is, and is named. told hears how far it is.
//
// When it returns without an error, everything that it found is under the primary key. Another process that has not taken
// up that key may seal with another one at any time.
func (s *Store) Reseal(ctx context.Context, sessionPlace func(hash []byte) []byte, told func(Sealing)) (Sealing, error) {
	return s.walk(ctx, sessionPlace, told, true)
}

// CheckSealed opens everything that is sealed, and changes nothing.
func (s *Store) CheckSealed(ctx context.Context, sessionPlace func(hash []byte) []byte, told func(Sealing)) (Sealing, error) {
	return s.walk(ctx, sessionPlace, told, false)
}

// CountSealed counts the records by the key that they are sealed with, and opens none of them. Where the keys file has one key
// that seals, they are under it, and SQL counts the rows. Otherwise the first bytes of each say it: PostgreSQL reads no more
// than these, SQLite walks through the whole of each.
func (s *Store) CountSealed(ctx context.Context) (map[uint32]int, error) {
	so := Sealing{Counts: make(map[uint32]int)}
	if err := s.walkPrintKey(ctx, &so, false); err != nil {
		return nil, err
	}
	sole, alone := s.ring.SoleSealer()
	for _, table := range sealedTables(func([]byte) []byte { return nil }) {
		if alone {
			var n int
			if err := s.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table.table).Scan(&n); err != nil {
				return nil, fmt.Errorf("counting %s: %w", table.words, err)
			}
			so.Counts[sole] += n
			continue
		}
		query := fmt.Sprintf(`SELECT substr(sealed, 1, %d) AS sealer, COUNT(*) FROM %s GROUP BY sealer`, keys.SealerSize, table.table)
		counts, err := rows(ctx, s.reader, readSealerCount, query)
		if err != nil {
			return nil, fmt.Errorf("counting %s: %w", table.words, err)
		}
		for _, c := range counts {
			so.Counts[keys.Sealer(c.sealer)] += c.records
		}
	}
	return so.Counts, nil
}

// sealerCount is how many records of a table begin so.
type sealerCount struct {
	sealer  []byte
	records int
}

func readSealerCount(row scanner) (c sealerCount, err error) {
	err = row.Scan(&c.sealer, &c.records)
	return c, err
}

// walk goes through everything that is sealed.
func (s *Store) walk(ctx context.Context, sessionPlace func([]byte) []byte, told func(Sealing), reseal bool) (Sealing, error) {
	so := Sealing{What: "the store's own key", Counts: make(map[uint32]int)}
	if err := s.walkPrintKey(ctx, &so, reseal); err != nil {
		return so, fmt.Errorf("sealing the print key anew: %w", err)
	}
	told(so)
	for _, table := range sealedTables(sessionPlace) {
		so.What, so.Done = table.words, 0
		if err := s.walkTable(ctx, table, &so, told, reseal); err != nil {
			return so, fmt.Errorf("%s: %w", table.words, err)
		}
		told(so)
	}
	return so, nil
}

// walkPrintKey comes first: from then on, a keys file without the primary key is refused at every start.
func (s *Store) walkPrintKey(ctx context.Context, so *Sealing, reseal bool) error {
	var text string
	if err := s.reader.QueryRowContext(ctx, factSQL, printKeyFact).Scan(&text); err != nil {
		return err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if !reseal || s.ring.Current(sealed) {
		so.Counts[keys.Sealer(sealed)]++
		return nil
	}
	fresh, err := s.ring.Seal(s.printKey, printKeyPlace)
	if err != nil {
		return err
	}
	so.Counts[keys.Sealer(fresh)]++
	_, err = s.writer.ExecContext(ctx, `UPDATE facts SET value = ? WHERE name = ? AND value = ?`,
		base64.StdEncoding.EncodeToString(fresh), printKeyFact, text)
	return err
}

// walkTable goes through a table in the order of its primary key.
func (s *Store) walkTable(ctx context.Context, t sealedTable, so *Sealing, told func(Sealing), reseal bool) error {
	columns := strings.Join(t.key, ", ")
	first := `SELECT ` + t.columns + ` FROM ` + t.table + ` ORDER BY ` + columns + ` LIMIT ?`
	next := `SELECT ` + t.columns + ` FROM ` + t.table + ` WHERE (` + columns + `) > (` + marks(len(t.key)) + `) ORDER BY ` + columns + ` LIMIT ?`
	query, arguments := first, []any(nil)
	for {
		batch, err := rows(ctx, s.reader, t.read, query, append(arguments, t.batch)...)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := s.walkBatch(ctx, t, batch, so, reseal); err != nil {
			return err
		}
		so.Done += len(batch)
		told(*so)
		query, arguments = next, batch[len(batch)-1].key
	}
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// walkBatch opens the rows of a batch, and keeps those that are to be sealed anew in one transaction.
func (s *Store) walkBatch(ctx context.Context, t sealedTable, batch []sealedRow, so *Sealing, reseal bool) error {
	var old, fresh []sealedRow
	for _, r := range batch {
		if reseal && s.ring.Current(r.sealed) {
			so.Counts[keys.Sealer(r.sealed)]++
			continue
		}
		plain, err := s.ring.Unseal(r.sealed, r.place)
		if err != nil {
			so.Broken = append(so.Broken, fmt.Sprintf("%s %v (key %d)", t.words, r.key[0], keys.Sealer(r.sealed)))
			continue
		}
		if !reseal {
			so.Counts[keys.Sealer(r.sealed)]++
			continue
		}
		sealed, err := s.ring.Seal(plain, r.place)
		clear(plain)
		if err != nil {
			return err
		}
		so.Counts[keys.Sealer(sealed)]++
		old, fresh = append(old, r), append(fresh, sealedRow{key: r.key, sealed: sealed})
	}
	if len(fresh) == 0 {
		return nil
	}
	update := `UPDATE ` + t.table + ` SET sealed = ? WHERE ` + strings.Join(t.key, ` = ? AND `) + ` = ? AND sealed = ?`
	return s.commit(ctx, true, func(ctx context.Context, tx *sql.Tx) error {
		for i, r := range fresh {
			arguments := append(append([]any{r.sealed}, r.key...), old[i].sealed)
			if _, err := tx.ExecContext(ctx, update, arguments...); err != nil {
				return err
			}
		}
		return nil
	})
}

// resealRounds is how often a walk is repeated for what others have sealed with an old key meanwhile, and the pause between.
const (
	resealRounds = 20
	resealPause  = 500 * time.Millisecond
)

// ResealAll repeats [Store.Reseal] until a whole walk finds nothing under another key than the primary one: what a process
// sealed that had not taken up the key yet is found by the next walk.
func (s *Store) ResealAll(ctx context.Context, sessionPlace func(hash []byte) []byte, told func(Sealing)) (Sealing, error) {
	var so Sealing
	for round := range resealRounds {
		var err error
		if so, err = s.Reseal(ctx, sessionPlace, told); err != nil {
			return so, err
		}
		found, err := s.walk(ctx, sessionPlace, func(Sealing) {}, false)
		if err != nil {
			return found, err
		}
		seal, _ := s.ring.Primaries()
		if found.Counts[seal] == total(found.Counts) {
			return found, nil
		}
		if round == resealRounds-1 {
			break
		}
		select {
		case <-ctx.Done():
			return so, ctx.Err()
		case <-time.After(resealPause):
		}
	}
	return so, fmt.Errorf("somebody goes on sealing with an old key: a gateway that does not take up the keys file; stop it, or give it the new file, and try again")
}

func total(counts map[uint32]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}
