package factor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// authenticator is a passkey in software, and the browser around it. Its fields may be bent to lie.
type authenticator struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      []byte
	counter uint32
	handle  []byte // the user's

	origin string
	rpID   string
	flags  byte // UP 1, UV 4, BE 8, BS 16
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &authenticator{t: t, key: key, id: id, counter: 1, origin: "https://mail.contoso.example:8443", rpID: "mail.contoso.example", flags: 1 | 4}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// options are what the pages hand to the browser, as far as it matters here.
type options struct {
	Challenge string
	RPID      string `json:"rpId"`
	RP        struct{ ID string }
	User      struct{ ID string }

	UserVerification       string
	AuthenticatorSelection struct{ UserVerification, ResidentKey string }
	AllowCredentials       []struct{ ID string }
	ExcludeCredentials     []struct{ ID string }
}

func (a *authenticator) read(raw []byte) options {
	a.t.Helper()
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		a.t.Fatal(err)
	}
	return o
}

func (a *authenticator) clientData(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// data is the authenticator data of WebAuthn section 6.1.
func (a *authenticator) data(flags byte) []byte {
	hash := sha256.Sum256([]byte(a.rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.counter)
}

// create answers navigator.credentials.create.
func (a *authenticator) create(raw []byte) []byte {
	a.t.Helper()
	o := a.read(raw)
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	a.handle = handle
	data := append(a.data(a.flags|64), make([]byte, 16)...) // AT; the AAGUID is zero
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), a.coseKey()...)
	var object bytes.Buffer // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
	object.WriteString("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59")
	_ = binary.Write(&object, binary.BigEndian, uint16(len(data)))
	object.Write(data)
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.clientData("webauthn.create", o.Challenge)), "attestationObject": b64(object.Bytes()),
	})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(raw []byte) []byte {
	a.t.Helper()
	o := a.read(raw)
	a.counter++
	client, data := a.clientData("webauthn.get", o.Challenge), a.data(a.flags)
	clientHash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), clientHash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.handle),
	})
}

func (a *authenticator) answer(response map[string]any) []byte {
	text, err := json.Marshal(map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// coseKey is the public key as CBOR (RFC 9053 section 7.1): {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
func (a *authenticator) coseKey() []byte {
	point, err := a.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		a.t.Fatal(err)
	}
	key := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	key = append(append(key, point[1:33]...), 0x22, 0x58, 0x20)
	return append(key, point[33:]...)
}
