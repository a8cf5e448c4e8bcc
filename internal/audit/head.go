package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Head is the newest line of a log, as it was when somebody signed it. Signed, it is a note of
// [C2SP signed-note], with the body of a [C2SP tlog-checkpoint] and one extension line:
//
//	postern/audit/5f0c2d9e81b4a763
//	4711
//	ICxeBlBhMwFnTYQGbYXfXwd1RVJbVLZUBN6zRGMrJIk=
//	time 2026-11-24T09:15:00.000000Z
//
//	— postern/audit/5f0c2d9e81b4a763 8bZk…
//
// The origin names the log, by the hash of its first line; the number is that of the line. The third line is the SHA-256 of the
// whole line, which covers all lines before it by their chain. It is no root of a Merkle tree: who keeps a head needs the
// lines since to verify it, and not a proof.
//
// [C2SP signed-note]: https://c2sp.org/signed-note
// [C2SP tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
type Head struct {
	Log  string // the log's id
	Seq  int64
	Hash string    // of line Seq, in hex
	Time time.Time // when it was signed
}

// Signer signs heads. *keys.Ring is one.
type Signer interface {
	// Sign gives an Ed25519 signature by the key whose public half is the first of Verifiers.
	Sign(message []byte) ([]byte, error)
	Verifiers() []ed25519.PublicKey
}

// originPrefix begins the name of every log.
const originPrefix = "postern/audit/"

// extensionTime begins the extension line with the time of signing.
const extensionTime = "time "

// text gives the body of the note.
func (h Head) text() (string, error) {
	hash, err := hex.DecodeString(h.Hash)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%s\n%d\n%s\n%s%s\n", originPrefix, h.Log, h.Seq, base64.StdEncoding.EncodeToString(hash),
		extensionTime, h.Time.UTC().Format(timeFormat)), nil
}

// parseHead reads the body of a note, exactly as text writes it.
func parseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return Head{}, errors.New("it does not have the lines of a head")
	}
	log, named := strings.CutPrefix(lines[0], originPrefix)
	if !named {
		return Head{}, fmt.Errorf("%q is not the name of an audit log of Postern", lines[0])
	}
	seq, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || seq < 1 {
		return Head{}, fmt.Errorf("%q is not the number of a line", lines[1])
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != 32 {
		return Head{}, fmt.Errorf("%q is not a hash", lines[2])
	}
	at, err := time.Parse(timeFormat, strings.TrimPrefix(lines[3], extensionTime))
	if err != nil {
		return Head{}, fmt.Errorf("%q is not its time", lines[3])
	}
	h := Head{Log: log, Seq: seq, Hash: hex.EncodeToString(hash), Time: at}
	if again, err := h.text(); err != nil || again != text {
		return Head{}, errors.New("it is not written as a head is")
	}
	return h, nil
}

// sign gives the head as a signed note.
func (h Head) sign(signer Signer) ([]byte, error) {
	text, err := h.text()
	if err != nil {
		return nil, err
	}
	verifiers := signer.Verifiers()
	if len(verifiers) == 0 {
		return nil, errors.New("there is no key that signs")
	}
	key, err := VerifierKey(h.Log, verifiers[0])
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: text}, noteSigner{verifier, signer})
}

// noteSigner is a note.Signer.
type noteSigner struct {
	note.Verifier
	signer Signer
}

func (s noteSigner) Sign(message []byte) ([]byte, error) { return s.signer.Sign(message) }

// VerifierKey gives the public key with which the heads of a log are verified, in the form of signed notes: the name of the log,
// a short hash of the key, and the key, as in postern/audit/5f0c2d9e81b4a763+f1b664d9+AS….
func VerifierKey(log string, key ed25519.PublicKey) (string, error) {
	return note.NewEd25519VerifierKey(originPrefix+log, key)
}

// Verifiers are the keys that somebody trusts for the heads of logs.
type Verifiers struct {
	list   []note.Verifier
	public []ed25519.PublicKey // good for any log
}

// ParseVerifiers reads verifier keys as [VerifierKey] gives them.
func ParseVerifiers(keys ...string) (Verifiers, error) {
	var v Verifiers
	for _, key := range keys {
		one, err := note.NewVerifier(key)
		if err != nil {
			return v, fmt.Errorf("%q is not a key that postern audit key prints", key)
		}
		v.list = append(v.list, one)
	}
	return v, nil
}

// VerifiersOf trusts the keys of a signer, for whatever log they have signed.
func VerifiersOf(signer Signer) Verifiers { return Verifiers{public: signer.Verifiers()} }

// Verifier is of [note.Verifiers].
func (v Verifiers) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, public := range v.public {
		key, err := note.NewEd25519VerifierKey(name, public)
		if err != nil {
			break
		}
		if one, err := note.NewVerifier(key); err == nil && one.KeyHash() == hash {
			return one, nil
		}
	}
	return note.VerifierList(v.list...).Verifier(name, hash)
}

// open verifies a signed note and gives the head in it.
func (v Verifiers) open(message []byte) (Head, error) {
	opened, err := note.Open(message, v)
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unknown) && len(unknown.Note.UnverifiedSigs) > 0:
		return Head{}, fmt.Errorf("it is signed by %s with another key than those that are trusted", strconv.Quote(unknown.Note.UnverifiedSigs[0].Name))
	case errors.As(err, &unknown):
		return Head{}, errors.New("it is not signed")
	case err != nil:
		return Head{}, errors.New("its signature does not fit: it was changed, or signed by somebody else")
	}
	return parseHead(opened.Text)
}

// SignedHead is a head whose signature was verified.
type SignedHead struct {
	Head
	Note []byte // as it is signed

	file string // in which it stands
	line int
}

// Heads gives the heads of a log, in the order in which they were signed, and what else stands in their file.
func Heads(folder fs.FS, v Verification) ([]SignedHead, []Problem, error) {
	content, err := readHeads(folder, headsName(v.Log))
	if err != nil {
		return nil, nil, err
	}
	heads, problems := v.Verifiers.parseHeads(headsName(v.Log), content)
	return heads, problems, nil
}

// parseHeads verifies the heads of a file: signed notes with an empty line behind each, which the last one may lack.
// Whatever is no good head is a problem of the file.
func (v Verifiers) parseHeads(file string, content []byte) (heads []SignedHead, problems []Problem) {
	blocks := strings.SplitAfter(string(content), "\n\n")
	line := 1
	for i := 0; i < len(blocks); i += 2 {
		if blocks[i] == "" && i == len(blocks)-1 {
			break
		}
		signatures := ""
		if i+1 < len(blocks) {
			signatures = blocks[i+1]
		}
		message := blocks[i] + strings.TrimSuffix(signatures, "\n")
		if !strings.HasSuffix(signatures, "\n\n") { // the last one
			message = blocks[i] + signatures
		}
		if h, err := v.open([]byte(message)); err != nil {
			problems = append(problems, Problem{File: file, Line: line, What: "the head that begins here: " + err.Error()})
		} else {
			heads = append(heads, SignedHead{h, []byte(message), file, line})
		}
		line += strings.Count(blocks[i]+signatures, "\n")
	}
	return heads, problems
}
