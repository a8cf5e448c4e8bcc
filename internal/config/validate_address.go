package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// byAddress looks at the users that are known by their address. What holds for an app password holds here as far as it
// can: the file's author has vouched for the address as an administrator does on the command line.
func (v *validator) byAddress() {
	first := make(map[netip.Prefix]int)
	served := slices.ContainsFunc(v.config.Listeners, func(l Listener) bool { return l.WithoutAuth })
	for i := range v.config.Users {
		u, path := &v.config.Users[i], fmt.Sprintf("users[%d].without_auth", i)
		if len(u.WithoutAuth) == 0 {
			continue
		}
		switch policy := u.policy(v.config); {
		case u.Login == "":
			v.wrong(path, "goes with a login; a rule is for nobody in particular")
		case policy != nil && !slices.Contains(policy.Protocols, "smtp"):
			v.wrong(path, "policy %s does not have smtp", u.Policy)
		case policy != nil && !policy.MFA.Accepts(CommandLine):
			v.wrong(path, "policy %s demands a second factor, which an address does not prove; give the login a policy whose mfa.evidence has command-line", u.Policy)
		case !served:
			v.warn(path, "of no effect: no listener has without_auth")
		}
		for j, network := range u.WithoutAuth {
			at := fmt.Sprintf("%s[%d]", path, j)
			if earlier, taken := first[network]; taken {
				v.wrong(at, "%s is in users[%d] already; the first entry decides, so remove one", network, earlier)
			} else if network.Bits() == 0 {
				v.wrong(at, "%s is everybody; name the device's own address", network)
			} else {
				first[network] = i
			}
		}
	}
}

// policy gives the policy in force for an entry; nil where there is none of its name.
func (u *User) policy(c *Config) *Policy {
	if u.Effective != nil {
		return u.Effective
	}
	return c.Policies[u.Policy]
}
