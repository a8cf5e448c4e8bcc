package store

import "encoding/binary"

// place describes where something sealed is kept, for the sealing: what is moved to another place does not open there
// (threat model I-19). Each part has its length before it, so that no two places have the same description.
func place(kind string, parts ...string) []byte {
	ad := []byte(kind)
	for _, part := range parts {
		ad = binary.AppendUvarint(ad, uint64(len(part)))
		ad = append(ad, part...)
	}
	return ad
}
