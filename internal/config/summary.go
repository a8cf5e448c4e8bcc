package config

import (
	"fmt"
	"strings"
)

// Summary says how much there is, such as "2 listeners, 1 user, 1 policy, 1 provider".
func (c *Config) Summary() string {
	var parts []string
	for _, kind := range []struct {
		count     int
		one, many string
	}{
		{len(c.Listeners), "listener", "listeners"}, {len(c.Users), "user", "users"},
		{len(c.Policies), "policy", "policies"}, {len(c.Providers), "provider", "providers"},
	} {
		word := kind.many
		if kind.count == 1 {
			word = kind.one
		}
		parts = append(parts, fmt.Sprintf("%d %s", kind.count, word))
	}
	return strings.Join(parts, ", ")
}
