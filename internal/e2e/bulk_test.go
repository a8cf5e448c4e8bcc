package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const (
	// batchRounds is how often the commands of a batch are repeated in it.
	batchRounds = 400
	// bulkSize is the size in bytes of the body of a big message.
	bulkSize = 20 << 20
)

// bigBatch is one write of many commands, so that commands and literals fall on the borders of reads everywhere.
func bigBatch() dialogue {
	var commands []string
	for i := range batchRounds {
		n := i%len(threadLetters) + 1
		commands = append(commands,
			fmt.Sprintf("FETCH %d (UID FLAGS RFC822.SIZE BODY.PEEK[])", n),
			"SEARCH TEXT {10+}\n> {5+}\r\nDONE",
			fmt.Sprintf("! SELECT {%d+}\n> %s", i%100+1, strings.Repeat("y", i%100+1)),
			"SELECT INBOX",
			fmt.Sprintf(`STORE %d FLAGS (\Answered)`, n),
			"NOOP")
	}
	return dialogue{name: "big batch", steps: filled("SELECT INBOX", strings.Join(commands, "\n"))}
}

// bulk stores a big message and reads it back, once in each way of sending a literal, and holds the bytes to each other.
func bulk(t *testing.T, s side) {
	t.Helper()
	client, _ := s(t)
	message := big("bulk", bulkSize)
	client.command(t, "CREATE bulk")

	tag := client.nextTag()
	client.send(t, fmt.Sprintf("%s APPEND bulk {%d}\r\n", tag, len(message)))
	for !strings.HasPrefix(client.response(t), "+") {
	}
	client.send(t, message+"\r\n")
	client.until(t, tag)

	// Without waiting, and with what reads it back right behind it.
	tag = client.nextTag()
	const last = "last"
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(client.conn, fmt.Sprintf("%s APPEND bulk {%d+}\r\n%s\r\nselect SELECT bulk\r\n%s FETCH 1:2 BODY.PEEK[]\r\n",
			tag, len(message), message, last))
		sent <- err
	}()
	client.until(t, tag)
	client.until(t, "select")
	var got []string
	for _, response := range client.until(t, last) {
		if line, text, _ := strings.Cut(response, "\r\n"); strings.Contains(line, "FETCH (BODY[] {") {
			got = append(got, strings.TrimSuffix(text, ")\r\n"))
		}
	}
	if err := <-sent; err != nil {
		t.Fatalf("sending: %v", err)
	}
	if len(got) != 2 || got[0] != message || got[1] != message {
		t.Fatalf("got %d messages; they are not both the %d bytes that were stored", len(got), len(message))
	}
}
