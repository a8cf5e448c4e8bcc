package imapproxy

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"postern/internal/relay"
)

const (
	// telling is in how many bytes of a response it shows, at most, whether it lists capabilities.
	telling = 2 * maxTag
	// maxList is the longest list of capabilities, in bytes.
	maxList = 16 << 10
)

// errList is an upstream that lists capabilities without end.
var errList = errors.New("upstream's list of capabilities is too long")

// offer is the filter of upstream's direction that keeps what is not offered out of upstream's own lists of capabilities,
// which it gives when a client asks, and may give at any time (RFC 9051 sections 7.2.2 and 7.1: a response and a response
// code). A list is held until it is whole. All else passes at once and as it is.
type offer struct {
	next  relay.Filter // where the bytes go
	rules *rules
	responses
	head  []byte // the beginning of a response of which it is not clear yet what it is; it has passed
	lists bool   // the next byte belongs to a list
	list  []byte // as far as it has come
}

// Pass implements [relay.Filter].
func (o *offer) Pass(p []byte, send func([]byte) error) error {
	at := 0 // what is before it passes
	for at < len(p) {
		switch {
		case o.lists:
			if at > 0 {
				if err := o.next.Pass(p[:at], send); err != nil {
					return err
				}
			}
			n, err := o.listPart(p[at:], send)
			if err != nil {
				return err
			}
			p, at = p[at+n:], 0
		case o.place == atStart:
			at += o.begin(p[at:])
		default:
			at += o.through(p[at:])
		}
	}
	if at == 0 {
		return nil
	}
	return o.next.Pass(p, send)
}

// Ended implements [relay.Filter].
func (o *offer) Ended() { o.next.Ended() }

// begin looks at the beginning of a response until it is clear what that is, and gives how much of it passes before the
// next step.
func (o *offer) begin(p []byte) int {
	if end := bytes.IndexByte(p, '\n'); end >= 0 {
		p = p[:end+1]
	}
	response := p
	if len(o.head) > 0 {
		response = append(o.head, p...)
	}
	kind, list := kindOf(response)
	switch kind {
	case unclear:
		o.head = append(o.head, p...)
		o.kept = keep(o.kept, p)
		return len(p)
	case listing:
		n := list - len(o.head)
		o.head, o.kept, o.lists = nil, nil, true
		return n
	}
	o.head, o.place, o.untagged = nil, inLine, kind == data
	return 0
}

// listPart takes bytes of a list, and sends what is offered of it when it is whole.
func (o *offer) listPart(p []byte, send func([]byte) error) (n int, err error) {
	end := bytes.IndexAny(p, "]\r\n")
	if end < 0 {
		if o.list = append(o.list, p...); len(o.list) > maxList {
			return 0, errList
		}
		return len(p), nil
	}
	list := append(o.list, p[:end]...)
	o.list, o.lists, o.place, o.untagged = nil, false, inLine, false
	listed := strings.Fields(string(list))
	if offered := compose(listed, o.rules); !slices.Equal(offered, listed) {
		list = []byte(strings.Join(offered, " "))
	}
	if len(list) == 0 {
		return end, nil
	}
	return end, o.next.Pass(list, send)
}

// responseKind is what a response is, as far as it matters here.
type responseKind int

const (
	unclear responseKind = iota // too little of it has come
	words                       // it can hold no literal: a status, or a continuation request
	data                        // it can
	listing                     // it lists capabilities
)

// kindOf tells the kind of a response from its beginning, and of a listing where the list begins.
func kindOf(response []byte) (kind responseKind, list int) {
	tag, rest, _ := bytes.Cut(response, []byte(" "))
	word, rest, whole := bytes.Cut(rest, []byte(" "))
	status := isStatus(string(word))
	others := words
	if string(tag) == "*" && !status {
		others = data
	}
	code := []byte("[CAPABILITY ")
	begin := len(tag) + 1 + len(word) + 1
	n := min(len(rest), len(code))
	switch {
	case len(tag) > 0 && tag[0] == '+', begin+len(code) > telling:
		return others, 0
	case !whole:
		return unlessEnded(response, others), 0
	case others == data && bytes.EqualFold(word, []byte("CAPABILITY")):
		return listing, begin
	case !status || !bytes.EqualFold(rest[:n], code[:n]):
		return others, 0
	case n < len(code):
		return unlessEnded(response, others), 0
	}
	return listing, begin + len(code)
}

// unlessEnded gives unclear for a response that goes on.
func unlessEnded(response []byte, kind responseKind) responseKind {
	if response[len(response)-1] == '\n' {
		return kind
	}
	return unclear
}
