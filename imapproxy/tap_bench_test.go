package imapproxy

import (
	"bytes"
	"testing"
)

// BenchmarkTap is what a session without restrictions pays: for bulk from upstream, for a large message that the client
// stores, and for a stream of short commands.
func BenchmarkTap(b *testing.B) {
	bulk := bytes.Repeat([]byte("0123456789\r\n"), 128<<10/12)
	pass := func([]byte) error { return nil }
	b.Run("from upstream", func(b *testing.B) {
		tap := newTap()
		b.SetBytes(int64(len(bulk)))
		b.ReportAllocs()
		for b.Loop() {
			_ = tap.answers.Pass(bulk, pass)
		}
	})
	b.Run("literal", func(b *testing.B) {
		tap := newTap()
		tap.see([]byte("a APPEND INBOX {1000000000000000000+}\r\n"))
		b.SetBytes(int64(len(bulk)))
		b.ReportAllocs()
		for b.Loop() {
			_ = tap.Pass(bulk, pass)
		}
	})
	b.Run("commands", func(b *testing.B) {
		tap := newTap()
		command := []byte("A0001 UID FETCH 1:* (UID FLAGS)\r\n")
		b.SetBytes(int64(len(command)))
		b.ReportAllocs()
		for b.Loop() {
			_ = tap.Pass(command, pass)
		}
	})
	b.Run("restricted, from upstream", func(b *testing.B) {
		replies := newReplies()
		message := append([]byte("* 1 FETCH (BODY[] {131064}\r\n"), bulk...)
		message = append(message, ")\r\n"...)
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			_ = replies.Pass(message, pass)
		}
		if replies.place != atStart {
			b.Fatal("the literal's size is wrong")
		}
	})
}
