package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/store"
)

// Submitter is the identity that submitted a message. A message leaves with the token of this identity and of no other.
type Submitter struct {
	Login    string `json:"login"` // canonical
	Password string `json:"password_id,omitempty"`
	Mailbox  string `json:"mailbox"` // that the login is for
	User     string `json:"user"`    // whom XOAUTH2 names: whose limits upstream applies
	Provider string `json:"provider"`
	Grant    string `json:"grant"`
	Account  string `json:"account,omitempty"`
}

// limited gives the name under which upstream's limits are counted.
func (s Submitter) limited() string { return strings.ToLower(s.User) }

// Recipient is one forward-path with what the client asked for it (RFC 3461 section 4).
type Recipient struct {
	Address string `json:"address"`
	Notify  string `json:"notify,omitempty"`
	ORcpt   string `json:"orcpt,omitempty"`
}

// Message is a message as it was accepted, but for its content. That is what goes to upstream behind its 354, to the last
// byte: with dots doubled, and CRLF "." CRLF at its end.
type Message struct {
	ID         string      `json:"-"`
	Submitter  Submitter   `json:"submitter"`
	Session    string      `json:"session,omitempty"` // in which it was submitted
	Sender     string      `json:"sender"`            // the reverse-path; may be empty
	UTF8       bool        `json:"utf8,omitempty"`    // SMTPUTF8 was asked for
	Body       string      `json:"body,omitempty"`    // the BODY parameter
	Ret        string      `json:"ret,omitempty"`     // RFC 3461 section 4.3
	EnvID      string      `json:"envid,omitempty"`   // RFC 3461 section 4.4, as xtext
	Recipients []Recipient `json:"recipients"`
	// Report is a message of the gateway's own about another one. Nobody is told of what becomes of it.
	Report bool `json:"report,omitempty"`

	Size     int64     `json:"-"` // bytes of the content
	Accepted time.Time `json:"-"`
}

// maxRecord bounds a record in bytes: a thousand recipients with all their parameters fit.
const maxRecord = 1 << 20

// encode gives the record of a message.
func (m *Message) encode() ([]byte, error) {
	record, err := json.Marshal(m)
	if err == nil && len(record) > maxRecord {
		err = fmt.Errorf("its envelope has %d bytes; %d are allowed", len(record), maxRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.ID, err)
	}
	return record, nil
}

// errRecord is a record that is not a message's.
var errRecord = errors.New("its record makes no sense")

// decodeRecord reads what encode has written, and refuses what could not be sent as it is.
func decodeRecord(record []byte) (*Message, error) {
	m := &Message{}
	if len(record) > maxRecord {
		return nil, errRecord
	}
	if err := json.Unmarshal(record, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if len(m.Recipients) == 0 || m.Submitter.Login == "" || m.Submitter.User == "" {
		return nil, fmt.Errorf("%w: it lacks a recipient or a submitter", errRecord)
	}
	texts := []string{m.Sender, m.Body, m.Ret, m.EnvID, m.Submitter.User}
	for _, r := range m.Recipients {
		if r.Address == "" {
			return nil, fmt.Errorf("%w: an empty recipient", errRecord)
		}
		texts = append(texts, r.Address, r.Notify, r.ORcpt)
	}
	for _, text := range texts {
		if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return nil, fmt.Errorf("%w: control characters in its envelope", errRecord)
		}
	}
	return m, nil
}

// messageOf opens a message of the store. An error that is not the database's wraps [store.ErrDamaged]: the message must
// not be sent.
func messageOf(row store.QueuedMessage) (*Message, error) {
	if row.RecordError != nil {
		return nil, fmt.Errorf("message %s: %w: %w", row.ID, store.ErrDamaged, row.RecordError)
	}
	m, err := decodeRecord(row.Record)
	if err == nil && (m.Submitter.Login != row.Login || m.Submitter.limited() != row.Mailbox || len(m.Recipients) != len(row.Recipients)) {
		err = fmt.Errorf("%w: it is not the record of its row", errRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w: %w", row.ID, store.ErrDamaged, err)
	}
	m.ID, m.Size, m.Accepted = row.ID, row.Size, row.Accepted
	return m, nil
}

// row gives the message as the store keeps it, waiting for its first try.
func (m *Message) row(parts int, node, reason string, next time.Time) (store.QueuedMessage, error) {
	record, err := m.encode()
	if err != nil {
		return store.QueuedMessage{}, err
	}
	recipients := make([]store.QueuedRecipient, len(m.Recipients))
	for i := range recipients {
		recipients[i].State = store.RecipientWaiting
	}
	return store.QueuedMessage{
		ID: m.ID, Mailbox: m.Submitter.limited(), Login: m.Submitter.Login, State: store.Waiting, Reason: reason, Size: m.Size,
		Parts: parts, Accepted: m.Accepted, NextTry: next, Node: node, Record: record, Recipients: recipients,
	}, nil
}
