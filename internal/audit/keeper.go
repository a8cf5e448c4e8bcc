package audit

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Keeping says how a log is kept.
type Keeping struct {
	HeadEvery  time.Duration // how often the newest line is signed, where there is a new one
	Copies     []string      // files to which each head goes as well
	RotateSize int64         // bytes at which a file is closed; 0 is never
	RotateAge  time.Duration // age of a file's first line at which it is closed; 0 is never
	KeepSize   int64         // bytes of all files at which the oldest is removed; 0 is never
	KeepAge    time.Duration // age of a closed file's last line at which it is removed; 0 is never

	// Received gives the number of the last line that a receiver has had; nil where there is none. What it has not had is kept
	// beyond KeepSize and KeepAge, as long as that is no more than Unsent bytes.
	Received func() int64
	Unsent   int64
}

const (
	// keepCheck is how often a log is looked at.
	keepCheck = 5 * time.Second
	// lastCopies bounds how long the end waits for the copies of the last head.
	lastCopies = 3 * time.Second
)

// Keeper signs a log now and then, has it go on in new files, and removes the oldest. None of it is on the way of those who
// record. It is safe for concurrent use.
type Keeper struct {
	log     *Log
	program *slog.Logger // the program's log
	signed  time.Time    // when the last head was
	ctx     context.Context
	stop    context.CancelFunc
	closing sync.Once
	done    sync.WaitGroup

	mu      sync.Mutex
	keeping Keeping
	copies  map[string]*headCopy // path → who copies heads there
	err     error                // of the last look
}

// Keep signs the head of a log and keeps the log from then on, until Close. What goes wrong on the way is in the program's log.
func Keep(log *Log, keeping Keeping, program *slog.Logger) *Keeper {
	ctx, stop := context.WithCancel(context.Background())
	k := &Keeper{log: log, program: program, ctx: ctx, stop: stop, copies: make(map[string]*headCopy)}
	k.Change(keeping)
	k.look()
	k.done.Go(func() { k.run(ctx) })
	return k
}

// Change has the log kept in another way from now on.
func (k *Keeper) Change(keeping Keeping) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keeping = keeping
	for path, c := range k.copies {
		if !slices.Contains(keeping.Copies, path) {
			c.stop()
			delete(k.copies, path)
		}
	}
	for _, path := range keeping.Copies {
		if k.copies[path] == nil && k.ctx.Err() == nil {
			ctx, stop := context.WithCancel(k.ctx)
			c := &headCopy{from: headsName(k.log.path), to: path, stop: stop}
			k.copies[path] = c
			k.done.Go(func() { c.run(ctx, k.program) })
		}
	}
}

// how gives how the log is kept now.
func (k *Keeper) how() Keeping {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeping
}

// Close signs the head once more and stops. It waits for the copies of that head, though not for ever: a place that hangs has it
// with the next start. A second call does nothing.
func (k *Keeper) Close() (err error) {
	k.closing.Do(func() { err = k.close() })
	return err
}

func (k *Keeper) close() error {
	_, err := k.log.SignHead()
	k.mu.Lock()
	k.stop()
	k.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.done.Wait() // each copy is made once more at its end
	}()
	select {
	case <-ended:
	case <-time.After(lastCopies):
		k.program.Warn("the last head of the audit log is not everywhere that it is written; the next start makes up for it")
	}
	return err
}

// Err gives what is wrong with the keeping of the log; nil when nothing is, and of no keeper.
func (k *Keeper) Err() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.err
	for _, c := range k.copies {
		err = cmp.Or(err, c.problem())
	}
	return err
}

func (k *Keeper) run(ctx context.Context) {
	ticker := time.NewTicker(keepCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.look()
		case <-ctx.Done():
			return
		}
	}
}

// look does what is due.
func (k *Keeper) look() {
	err := k.due()
	k.mu.Lock()
	before := k.err
	k.err = err
	k.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		k.program.Error("the audit log cannot be kept as it should be", "error", err)
	}
}

func (k *Keeper) due() error {
	now, how := k.log.now(), k.how()
	full, err := k.full(how, now)
	if err != nil {
		return err
	}
	if full {
		if err := k.log.Rotate(); err != nil {
			return err
		}
	}
	if age := now.Sub(k.signed); full || age < 0 || age >= how.HeadEvery {
		if _, err := k.log.SignHead(); err != nil {
			return err
		}
		k.signed = now
	}
	return k.prune(how, now)
}

// full reports whether the file that lines are added to is to be closed.
func (k *Keeper) full(how Keeping, now time.Time) (bool, error) {
	file, err := os.Open(k.log.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	if how.RotateSize > 0 && info.Size() >= how.RotateSize {
		return true, nil
	}
	if how.RotateAge == 0 {
		return false, nil
	}
	b, err := readBeginning(file)
	return err == nil && now.Sub(b.at) >= how.RotateAge, err
}

// closedFile is a closed file as retention sees it.
type closedFile struct {
	path string
	size int64
	last link // its last line
}

func (k *Keeper) closed() (files []closedFile, total int64, err error) {
	folder := filepath.Dir(k.log.path)
	names, err := closedFiles(os.DirFS(folder), filepath.Base(k.log.path))
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		f := closedFile{path: filepath.Join(folder, name)}
		if f.size, f.last, err = readEnding(f.path); err != nil {
			return nil, 0, err
		}
		files, total = append(files, f), total+f.size
	}
	info, err := os.Stat(k.log.path)
	if err == nil {
		total += info.Size()
	}
	return files, total, err
}

// readEnding reads the last line of a closed file.
func readEnding(path string) (size int64, last link, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, link{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, link{}, err
	}
	lines, _, err := lastLines(file, info.Size())
	if err != nil || len(lines) == 0 {
		return info.Size(), link{}, err
	}
	return info.Size(), parseLink(lines[len(lines)-1]), nil
}

// prune removes the closed files that are not to be kept any longer, the oldest first. That is in the log before it is done.
func (k *Keeper) prune(how Keeping, now time.Time) error {
	if how.KeepAge == 0 && how.KeepSize == 0 {
		return nil
	}
	files, total, err := k.closed()
	if err != nil {
		return err
	}
	for i, f := range files {
		why := ""
		switch {
		case f.last.torn(): // its end was tampered with: nothing is removed before somebody has looked
		case how.KeepAge > 0 && now.Sub(f.last.at) > how.KeepAge:
			why = "age"
		case how.KeepSize > 0 && total > how.KeepSize:
			why = "size"
		}
		if why == "" {
			return nil
		}
		event := LogPruned{File: filepath.Base(f.path), Last: f.last.seq, Hash: f.last.hash, Why: why}
		if how.Received != nil && how.Received() < f.last.seq {
			if unsent(files[i:], how.Received()) <= how.Unsent {
				return nil // it goes once it is not needed any more
			}
			first, _ := firstOf(filepath.Base(k.log.path), event.File)
			event.Lost = f.last.seq - max(how.Received(), first-1)
		}
		if err := k.log.Record(event); err != nil {
			return err
		}
		if err := os.Remove(f.path); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(f.path)); err != nil {
			return err
		}
		total -= f.size
	}
	return nil
}

// unsent gives the size of those files that a receiver has not had in full.
func unsent(files []closedFile, received int64) (size int64) {
	for _, f := range files {
		if f.last.seq > received {
			size += f.size
		}
	}
	return size
}
