package gateway

import "testing"

func TestMemoryIsReturned(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		what                       string
		sinceCollection, sinceLook uint64
		want                       bool
	}{
		{"nothing happened", 0, 0, false},
		{"next to nothing in hours", mib / 2, 1000, false},
		{"a few sign-ins, and more are coming", 5 * mib, 3 * mib, false},
		{"a few sign-ins, and then rest", 5 * mib, 1000, true},
		{"many sign-ins, and more are coming", 30 * mib, 20 * mib, true},
	} {
		if got := worthCollecting(test.sinceCollection, test.sinceLook); got != test.want {
			t.Errorf("%s: got %v, want %v", test.what, got, test.want)
		}
	}
}
