package header

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
)

// maxAddresses is the longest list of addresses in bytes that is read: of more than that nobody is the author.
const maxAddresses = 8 << 10

// ErrAddresses is a field that should have addresses and cannot be read as such.
var ErrAddresses = errors.New("not a list of addresses")

// Address is an address with the name before it.
type Address struct {
	// Name is decoded (RFC 2047), as far as its character set is UTF-8 or one of its parts.
	Name string
	// Address is local-part@domain.
	Address string
}

// parser leaves words in other character sets as they are: a name that cannot be decoded makes no address wrong.
var parser = mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil }}}

// Addresses reads the addresses of a field such as From or Reply-To. What can be read in more than one way is an error,
// as is a list without an address.
//
// Errors: one that wraps [ErrAddresses].
func Addresses(value string) ([]Address, error) {
	if len(value) > maxAddresses {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAddresses, maxAddresses)
	}
	parsed, err := parser.ParseList(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrAddresses, strings.TrimPrefix(err.Error(), "mail: "))
	}
	if len(parsed) == 0 { // an empty group
		return nil, fmt.Errorf("%w: no address", ErrAddresses)
	}
	list := make([]Address, len(parsed))
	for i, a := range parsed {
		list[i] = Address{Name: a.Name, Address: a.Address}
	}
	return list, nil
}

// String gives the address as it stands in a header, in ASCII where the address itself is.
func (a Address) String() string { return (&mail.Address{Name: a.Name, Address: a.Address}).String() }
