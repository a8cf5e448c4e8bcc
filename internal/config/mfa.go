package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mfa looks at what a policy takes for evidence, and warns of what nobody can give.
func (v *validator) mfa(path string, m MFA) {
	for i, evidence := range m.Evidence {
		at := fmt.Sprintf("%s.evidence[%d]", path, i)
		context, isContext := strings.CutPrefix(evidence, "acrs:")
		switch {
		case !isEvidence(evidence):
			v.wrong(at, "%s", unknownValue(evidence, []string{"totp", "passkey", "acrs:c1", "amr:mfa", CommandLine}))
		case isContext && !v.asserted(context):
			v.warn(at, "no sign-in counts for it: Entra calls %s satisfied also where no policy guards it; once one does and demands MFA, add authentication_contexts: {%s: %s} to the provider", context, context, Asserted)
		}
	}
	if v.config.Portal == nil && !m.Accepts(CommandLine) {
		v.warn(path+".evidence", "there is no portal where anybody could give it: no password can be issued under this policy, and those that were are refused; add a portal, or command-line to these")
	}
}

// asserted reports whether an authentication context proves MFA at any provider.
func (v *validator) asserted(context string) bool {
	for _, p := range v.config.Providers {
		if p.Asserts(context) {
			return true
		}
	}
	return false
}

// AssertedContexts gives the authentication contexts that the administrator asserts, as provider:context, in order.
func (c *Config) AssertedContexts() (all []string) {
	for name, p := range c.Providers {
		for context := range p.AuthenticationContexts {
			if p.Asserts(context) {
				all = append(all, name+":"+context)
			}
		}
	}
	slices.Sort(all)
	return all
}

// isEvidence reports whether s names a proof of a second factor; authentication contexts are c1 to c99 (reference F.4).
func isEvidence(s string) bool {
	if context, ok := strings.CutPrefix(s, "acrs:c"); ok {
		n, err := strconv.ParseUint(context, 10, 8)
		return err == nil && n >= 1 && n <= 99 && context[0] != '0'
	}
	return slices.Contains([]string{"totp", "passkey", "amr:mfa", CommandLine}, s)
}
