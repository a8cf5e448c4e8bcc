package front

import "bytes"

// IsForeign reports whether a client's line is another protocol's, so that the connection is to be closed: the first of an
// HTTP request, of a browser that was sent here by somebody else (alpaca-attack.com); or a header of the PROXY protocol
// where nobody may send one, which claims an address that does not count (threat model I-36).
func IsForeign(line []byte) bool {
	return bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0")) || bytes.HasPrefix(line, []byte("PROXY "))
}
