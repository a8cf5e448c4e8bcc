package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes as the file writes it: 35MB, 512KB, or a plain number. K and M are 1024 and 1024².
type Size int64

// ParseSize reads a size. It is at least one byte.
func ParseSize(s string) (Size, error) {
	digits, unit := strings.ToUpper(s), int64(1)
	for suffix, factor := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20} {
		if before, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimRight(before, " "), factor
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a size; write it like 35MB or 512KB", s)
	}
	return Size(int64(n) * unit), nil
}

// String gives the size in the file's form.
func (s Size) String() string {
	for _, unit := range []struct {
		name string
		size Size
	}{{"MB", 1 << 20}, {"KB", 1 << 10}} {
		if s >= unit.size && s%unit.size == 0 {
			return strconv.FormatInt(int64(s/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
