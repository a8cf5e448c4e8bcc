package smtpproxy

import (
	"slices"
	"strings"

	"postern/auth"
	"postern/internal/config"
	"postern/internal/header"
)

// senders is whom a session may send as (RFC 6409 section 6.1).
type senders struct {
	mode    string   // one of config's
	mailbox string   // the expected sender
	own     []string // addresses of the session's, or *@domain; lower case
}

// sendersOf gives the senders of a grant. What the policy leaves open is pass.
func sendersOf(grant *auth.Grant) senders {
	s := senders{mode: grant.Policy.Send.From, mailbox: grant.Mailbox, own: grant.Addresses}
	if s.mode == "" {
		s.mode = config.PassSender
	}
	return s
}

// owns reports whether an address is one that the session may send as.
func (s senders) owns(address string) bool {
	if s.mode == config.RefuseSender {
		return strings.EqualFold(address, s.mailbox)
	}
	return matchesAddress(s.own, address)
}

// matchesAddress reports whether an address is one of the patterns: an address, or *@domain. Case does not matter.
func matchesAddress(patterns []string, address string) bool {
	address = strings.ToLower(address)
	anybody := "*" + address[max(0, strings.LastIndexByte(address, '@')):]
	return slices.ContainsFunc(patterns, func(pattern string) bool { return pattern == address || pattern == anybody })
}

// envelope gives the sender that MAIL is to have upstream. The null sender stays what it is: mail that nobody shall answer.
func (s senders) envelope(address string) (string, *fault) {
	switch {
	case address == "", s.owns(address):
		return address, nil
	case s.mode == config.RewriteSender:
		return s.mailbox, nil
	}
	return "", s.forbidden()
}

// forbidden is the refusal of a sender that is somebody else. It names the one that is expected, since the person who
// reads it stands before a copier.
func (s senders) forbidden() *fault {
	return &fault{"sender-forbidden", say(550, "5.7.60 Not allowed to send as this sender: the sender address must be "+s.mailbox)}
}

// header holds the header's senders against the rules, and puts the mailbox in their place where the policy says so.
func (s senders) header(b *header.Block) *fault {
	if s.ownsAll(b) {
		return nil
	}
	if s.mode != config.RewriteSender {
		return s.forbidden()
	}
	s.rewrite(b)
	return nil
}

// ownsAll reports whether every address that a receiver may take for the author's or the sender's is the session's own.
// Two fields where one is due, and a list that can be read in two ways, are nobody's own.
func (s senders) ownsAll(b *header.Block) bool {
	for _, name := range []string{"From", "Sender"} {
		fields := b.All(name)
		if len(fields) > 1 {
			return false
		}
		for _, f := range fields {
			addresses, err := header.Addresses(f.Value())
			if err != nil {
				return false
			}
			for _, a := range addresses {
				if !s.owns(a.Address) {
					return false
				}
			}
		}
	}
	return true
}

// maxAuthorName is how much of the author's name is kept, in bytes.
const maxAuthorName = 128

// rewrite makes the mailbox the author. Who it was can be answered still, unless Reply-To names somebody already.
func (s senders) rewrite(b *header.Block) {
	var author header.Address
	if fields := b.All("From"); len(fields) > 0 {
		original, err := header.Addresses(fields[0].Value())
		if err == nil && len(fields) == 1 {
			author.Name = authorName(original[0].Name)
			if !b.Has("Reply-To") {
				b.Set(replyTo(original))
			}
		}
	}
	author.Address = s.mailbox
	b.Set(header.New("From", author.String()))
	b.Remove("Sender")
}

// authorName gives the name that is kept of an author whose address is not. One that looks like an address would speak
// for somebody else.
func authorName(name string) string {
	if strings.Contains(name, "@") {
		return ""
	}
	return strings.ToValidUTF8(name[:min(len(name), maxAuthorName)], "")
}

func replyTo(addresses []header.Address) header.Field {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = header.Address{Address: a.Address}.String()
	}
	return header.NewList("Reply-To", list...)
}
