package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/sync/errgroup"
)

// goimapPipelines works in a folder with go-imap's client: many commands under way at once, with literals in them.
func goimapPipelines(t *testing.T, g *gateway, user login) {
	const folder, count = `go-imap "quoted" & more`, 40
	client := g.open(t, user)
	if err := client.Create(folder, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	want := make([]string, count)
	var appends []*imapclient.AppendCommand
	for i := range want {
		want[i] = letter("bob@fabrikam.example", user.Mailbox, fmt.Sprintf("go-imap %d", i), strings.Repeat("line\r\n", i*i)+trickyBody)
		command := client.Append(folder, int64(len(want[i])), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
		_, err := io.WriteString(command, want[i])
		if err == nil {
			err = command.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		appends = append(appends, command)
	}
	for _, command := range appends {
		if _, err := command.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	selected, err := client.Select(folder, nil).Wait()
	if err != nil || selected.NumMessages != count {
		t.Fatalf("got %+v and error %v, want %d messages", selected, err, count)
	}
	// A server may answer commands out of order, and the client stops reading while an answer is not taken.
	var answers errgroup.Group
	for i := range count {
		fetch := client.Fetch(imap.SeqSetNum(uint32(i+1)), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{wholeMessage}})
		answers.Go(func() error {
			fetched, err := fetch.Collect()
			if err != nil || len(fetched) != 1 {
				return fmt.Errorf("FETCH %d: got %d messages and error %w, want one", i+1, len(fetched), err)
			}
			if got := string(fetched[0].FindBodySection(wholeMessage)); got != want[i] {
				return fmt.Errorf("FETCH %d: got\n%q\nwant\n%q", i+1, got, want[i])
			}
			return nil
		})
	}
	// A text with a line end is sent as a literal. An answer to SEARCH does not say to which, so there is one at a time.
	search := client.Search(&imap.SearchCriteria{Not: []imap.SearchCriteria{{Text: []string{"no\r\nsuch text"}}}}, nil)
	if found, err := search.Wait(); err != nil || len(found.AllSeqNums()) != count {
		t.Errorf("SEARCH: got %+v and error %v, want all %d messages", found, err, count)
	}
	if err := answers.Wait(); err != nil {
		t.Fatal(err)
	}
	goimapIdles(t, g, user, folder)
}

// goimapIdles has a second session change a folder while a first one waits in IDLE.
func goimapIdles(t *testing.T, g *gateway, user login, folder string) {
	t.Helper()
	news := make(chan uint32, 16)
	handler := &imapclient.UnilateralDataHandler{Mailbox: func(data *imapclient.UnilateralDataMailbox) {
		if data.NumMessages != nil {
			news <- *data.NumMessages
		}
	}}
	waiting := g.openWith(t, user, handler)
	selected, err := waiting.Select(folder, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	idle, err := waiting.Idle()
	if err != nil {
		t.Fatal(err)
	}
	put(t, g.open(t, user), folder, letter("bob@fabrikam.example", user.Mailbox, "news", "news\r\n"))
	late := time.After(deliveryTime)
	for told := false; !told; {
		select {
		case n := <-news:
			told = n == selected.NumMessages+1
		case <-late:
			t.Fatalf("IDLE told nothing of a new message within %v", deliveryTime)
		}
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Errorf("the end of IDLE: %v", err)
	}
}
