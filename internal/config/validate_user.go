package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest login or address in bytes.
const maxName = 254

func (v *validator) users() {
	first := make(map[string]int) // login, alias or match in lower case → index of its first entry
	providers, policies := slices.Sorted(maps.Keys(v.config.Providers)), slices.Sorted(maps.Keys(v.config.Policies))
	for i := range v.config.Users {
		u, path := &v.config.Users[i], fmt.Sprintf("users[%d]", i)
		u.Line = v.positions[path].line
		v.name(path, *u)
		v.aliases(path, *u)
		for j := range u.Addresses {
			v.pattern(fmt.Sprintf("%s.addresses[%d]", path, j), &u.Addresses[j])
		}
		v.once(path, i, *u, first)
		if len(providers) > 0 {
			v.oneOf(path+".provider", u.Provider, providers)
		}
		if len(policies) > 0 && v.oneOf(path+".policy", u.Policy, policies) {
			v.override(path+".override", u, v.config.Policies[u.Policy])
		}
		if v.oneOf(path+".grant", u.Grant, []string{"delegated", "application"}) {
			v.grant(path, *u)
		}
	}
	v.unreachable(first)
	v.byAddress()
}

// once reports a name that an entry before has already: what stands for it here would never be used.
func (v *validator) once(path string, i int, u User, first map[string]int) {
	for _, name := range append([]string{u.Login + u.Match}, u.Aliases...) {
		key := strings.ToLower(name)
		if earlier, taken := first[key]; taken && key != "" {
			v.wrong(path, "%s is in users[%d] already; the first entry decides, so remove one", key, earlier)
		} else {
			first[key] = i
		}
	}
}

// aliases looks at the other names of a login.
func (v *validator) aliases(path string, u User) {
	if len(u.Aliases) > 0 && u.Login == "" {
		v.wrong(path+".aliases", "goes with a login; under match everybody has the name that fits")
	}
	for i, alias := range u.Aliases {
		if !IsLogin(alias) {
			v.wrong(fmt.Sprintf("%s.aliases[%d]", path, i), "want one word of at most %d letters without spaces", maxName)
		}
	}
}

// name looks at what the client types and which mailbox that is.
func (v *validator) name(path string, u User) {
	switch {
	case u.Login == "" && u.Match == "":
		v.wrong(path, "want a login, or match: \"*@domain\"")
	case u.Login != "" && u.Match != "":
		v.wrong(path+".match", "has a login as well; keep one of them")
	case u.Match != "":
		domain, ok := strings.CutPrefix(u.Match, "*@")
		if !ok || !isHostName(domain) {
			v.wrong(path+".match", "want *@domain")
		}
		if u.Mailbox != "" {
			v.wrong(path+".mailbox", "goes with a login; under match the mailbox is the login")
		}
		if u.Account != "" {
			v.wrong(path+".account", "goes with a login; under match everybody's account is their own")
		}
		if len(u.Addresses) > 0 {
			v.wrong(path+".addresses", "goes with a login; under match it would let everybody send as these")
		}
		return
	case !IsLogin(u.Login):
		v.wrong(path+".login", "want one word of at most %d letters without spaces", maxName)
		return
	}
	switch {
	case u.Mailbox != "" && !IsAddress(u.Mailbox):
		v.wrong(path+".mailbox", "want the mailbox's address")
	case u.Mailbox == "" && u.Login != "" && !IsAddress(u.Login):
		v.wrong(path+".mailbox", "missing; %s is not an address, so say whose mailbox it opens", u.Login)
	}
}

func (v *validator) grant(path string, u User) {
	switch u.Grant {
	case "application":
		if u.Account != "" {
			v.wrong(path+".account", "goes with grant: delegated; with application the gateway's own application is the account")
		}
		if p := v.config.Providers[u.Provider]; p != nil && !p.HasCredential() {
			v.wrong(path+".grant", "application needs a credential in provider %s: client_certificate_file, client_secret_file, client_assertion_file or managed_identity", u.Provider)
		}
	case "delegated":
		if u.Account != "" && !IsAddress(u.Account) {
			v.wrong(path+".account", "want the person's user principal name, such as alice@contoso.com")
		}
	}
}

// unreachable warns of logins that a match before them takes.
func (v *validator) unreachable(first map[string]int) {
	for i, u := range v.config.Users {
		for _, name := range append([]string{u.Login}, u.Aliases...) {
			_, domain, _ := strings.Cut(strings.ToLower(name), "@")
			if earlier, ok := first["*@"+domain]; ok && earlier < i {
				v.warn(fmt.Sprintf("users[%d]", i), "%s is never used: %s in users[%d] fits first; put it before that", name, v.config.Users[earlier].Match, earlier)
			}
		}
	}
}

// IsLogin reports whether s can be a login: anything that no protocol's message could be altered by (threat model I-25).
func IsLogin(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) })
}

// IsAddress reports whether s looks like a mailbox's address.
func IsAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && IsLogin(s) && isHostName(domain) && strings.Contains(domain, ".") && !strings.ContainsAny(local, `<>()[]\,;:"`)
}
