package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"

	sqlitedriver "modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"
)

const (
	// checkpointFrames is from how many pages in the log on they are put into the database.
	checkpointFrames = 4000
	// checkpointLook is how many commits there are between two looks at the log.
	checkpointLook = 16
	// mendBlock is how much of the log is written anew at once, in bytes.
	mendBlock = 256 << 10
	// mendTries is how often it is tried beside other processes that write.
	mendTries = 10
)

// writeAheadLog sees to SQLite's log (sqlite.org/wal.html) on the connection that writes, where SQLite itself sees too little:
// the kernel reports a failed write once, to whoever syncs next, and takes the page for clean then (threat model I-04).
// Pages of earlier commits would be missing on the disk, and all that comes behind them would be lost with them to a
// recovery, synced or not.
//
// After a write or a sync that failed, the log is therefore written once more and synced before anything else is committed.
// SQLite does its checkpoints behind a commit and forgets that one of them failed; so they are made here.
type writeAheadLog struct {
	path    string // of the database
	suspect bool   // a write or a sync has failed
	commits int    // since the last look
}

// heed takes note of what a write came to.
func (l *writeAheadLog) heed(err error) {
	var failed *sqlitedriver.Error
	if errors.As(err, &failed) {
		code := failed.Code() & 0xff
		l.suspect = l.suspect || code == sqlitecode.SQLITE_IOERR || code == sqlitecode.SQLITE_FULL
	}
}

// committed puts the log into the database once it is long. A failure is no concern of the commit before it.
func (l *writeAheadLog) committed(ctx context.Context, conn sqliteDriver) {
	if l.commits++; l.commits < checkpointLook {
		return
	}
	l.commits = 0
	ctx = context.WithoutCancel(ctx)
	frames, err := checkpoint(ctx, conn, "NOOP")
	if err == nil && frames >= checkpointFrames {
		_, err = checkpoint(ctx, conn, "PASSIVE")
	}
	l.heed(err)
}

// mend makes the log whole on the disk if that is not sure, and what lies behind its end, of a commit that failed, no part
// of it: a recovery would find it.
func (l *writeAheadLog) mend(ctx context.Context, conn sqliteDriver) (err error) {
	if !l.suspect {
		return nil
	}
	for range mendTries {
		mended, err := l.mendOnce(ctx, conn)
		if err != nil {
			return fmt.Errorf("writing the log anew after a failure of the disk: %w", err)
		}
		if mended {
			l.suspect = false
			return nil
		}
	}
	return errors.New("writing the log anew after a failure of the disk: another process writes all the time")
}

// mendOnce does nothing, and reports so, where somebody else wrote into the log between the look at its length and the
// beginning of a transaction, in which there is no way to look.
func (l *writeAheadLog) mendOnce(ctx context.Context, conn sqliteDriver) (mended bool, err error) {
	before, err := number(ctx, conn, "PRAGMA data_version")
	if err != nil {
		return false, err
	}
	frames, err := checkpoint(ctx, conn, "NOOP")
	if err != nil {
		return false, err
	}
	pageSize, err := number(ctx, conn, "PRAGMA page_size")
	if err != nil {
		return false, err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return false, err
	}
	defer func() {
		_, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK", nil)
		err = errors.Join(err, undo)
	}()
	if now, err := number(ctx, conn, "PRAGMA data_version"); err != nil || now != before {
		return false, err
	}
	const header = 32
	return true, rewrite(l.path+"-wal", header+frames*(frameHeader+pageSize))
}

// frameHeader is the size in bytes of what stands before each page in the log (sqlite.org/fileformat.html).
const frameHeader = 24

// rewrite writes the first bytes of a log over themselves, ends it there, and syncs it: the system writes only what it takes
// for changed.
func rewrite(path string, size int64) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	block := make([]byte, mendBlock)
	for at := int64(0); at < size; {
		n, err := file.ReadAt(block[:min(mendBlock, size-at)], at)
		if n == 0 {
			return err
		}
		if _, err := file.WriteAt(block[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if _, err := file.WriteAt(make([]byte, frameHeader), size); err != nil {
		return err
	}
	return file.Sync()
}

// checkpoint runs one and gives how many pages there are in the log.
func checkpoint(ctx context.Context, conn sqliteDriver, mode string) (frames int64, err error) {
	row, err := oneRow(ctx, conn, "PRAGMA wal_checkpoint("+mode+")")
	if err != nil {
		return 0, err
	}
	frames, ok := row[min(1, len(row)-1)].(int64)
	if !ok || frames < 0 {
		return 0, fmt.Errorf("a checkpoint gave %v", row)
	}
	return frames, nil
}

// number gives the number that a statement gives.
func number(ctx context.Context, conn sqliteDriver, query string) (int64, error) {
	row, err := oneRow(ctx, conn, query)
	if err != nil {
		return 0, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%s gave %v", query, row)
	}
	return n, nil
}

func oneRow(ctx context.Context, conn sqliteDriver, query string) ([]driver.Value, error) {
	rows, err := conn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, len(rows.Columns()))
	return row, errors.Join(rows.Next(row), rows.Close())
}

// changes reports whether a statement changes the database, and by itself commits it.
func changes(query string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch strings.ToUpper(verb) {
	case "INSERT", "UPDATE", "DELETE":
		return true
	}
	return false
}

// sqliteTx is a transaction of the connection that writes.
type sqliteTx struct {
	driver.Tx
	conn *sqliteConn
}

// Commit implements [driver.Tx].
func (t *sqliteTx) Commit() error {
	err := t.Tx.Commit()
	t.conn.inside = false
	t.conn.over(context.Background(), err)
	return err
}

// Rollback implements [driver.Tx].
func (t *sqliteTx) Rollback() error {
	t.conn.inside = false
	return t.Tx.Rollback()
}
