package exchange

import (
	"errors"
	"strings"
	"time"
)

// append answers APPEND (RFC 3501 section 6.3.11) with the UID of RFC 4315.
func (i *imapSession) append(c *command) error {
	name, err := c.argument()
	if err != nil {
		return err
	}
	if err := c.space(); err != nil {
		return err
	}
	set, date := flagSet(0), time.Now()
	if len(c.rest) > 0 && c.rest[0] == '(' {
		names, err := c.flagNames()
		if err != nil {
			return err
		}
		if err := c.space(); err != nil {
			return err
		}
		set = newFlagSet(names)
	}
	if len(c.rest) > 0 && c.rest[0] == '"' {
		text, err := c.quoted()
		if err != nil {
			return err
		}
		if date, err = time.Parse(dateTime, text); err != nil {
			return errArgument
		}
		if err := c.space(); err != nil {
			return err
		}
	}
	content, err := c.literal()
	if err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	uid, validity, found := i.store(name, content, set, date)
	if !found {
		return i.line("%s NO [TRYCREATE] %s doesn't exist.", c.tag, name)
	}
	if err := i.tellNews(true); err != nil {
		return err
	}
	return i.line("%s OK [APPENDUID %d %d] APPEND completed.", c.tag, validity, uid)
}

func (i *imapSession) store(name string, content []byte, set flagSet, date time.Time) (uid, validity uint32, found bool) {
	defer i.server.store.lock()()
	f := i.box().folder(name)
	if f == nil {
		return 0, 0, false
	}
	return i.server.store.append(f, content, set, date).uid, f.validity, true
}

// idle answers IDLE (RFC 2177): it tells news as they come, until the client says DONE.
func (i *imapSession) idle(c *command) error {
	if err := c.end(); err != nil {
		return err
	}
	if err := errors.Join(i.tellNews(true), i.line("+ IDLE accepted, awaiting DONE command."), i.flush()); err != nil {
		return err
	}
	type answer struct {
		line string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		line, err := i.in.ReadLine()
		done <- answer{string(line), err}
	}()
	check := time.NewTicker(tokenCheck)
	defer check.Stop()
	for {
		news := i.server.store.nextNews()
		if err := errors.Join(i.tellNews(true), i.flush()); err != nil {
			<-awaitClose(i, done)
			return err
		}
		select {
		case a := <-done:
			if a.err != nil {
				return a.err
			}
			if !strings.EqualFold(a.line, "DONE") {
				return errArgument
			}
			return i.completed(c)
		case <-news:
		case <-check.C:
			if err := i.checkToken(); err != nil {
				<-awaitClose(i, done)
				return err
			}
		}
	}
}

// awaitClose closes the connection, so that the reader of an IDLE that is over comes to its end.
func awaitClose[T any](i *imapSession, done chan T) chan T {
	_ = i.conn.Close()
	return done
}
