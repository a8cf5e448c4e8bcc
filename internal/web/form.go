package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLabel is how long the label of an app password may be, in characters, as package apppassword has it.
	maxLabel = 100
	// maxNetworks is how many networks a form may name, and maxNetworksText how long their text may be in bytes.
	maxNetworks     = 20
	maxNetworksText = 1000
)

// The choices of how long a password lasts that are no number of days.
const (
	lifeMax   = "max"   // as long as the policy allows
	lifeNever = "never" // until it is revoked
)

// passwordForm is the form of a new app password: what was filled in, what it offers, and what is wrong with it.
type passwordForm struct {
	Label    string
	Use      use
	Where    string // anywhere, here or listed
	Networks string // those that are listed, as typed
	Life     string // days, max or never
	Short    bool
	Ticket   string // the same form issues one password, however often it is sent
	Action   string // where the form is sent
	Cancel   string // where to go instead

	login    Login
	Uses     []use
	Lives    []string
	Longest  time.Time      // the end of max; the zero time without one
	Here     netip.Prefix   // the network that the browser is in
	Allowed  []netip.Prefix // by the policy; none means everywhere
	MayShort bool           // the policy leaves the length open

	MayLegacy bool // it is for a device, and there is a way in for old ones
	Legacy    bool // accepted below TLS 1.2 too

	Wrong map[string]string // field → what is wrong with it
}

// Login gives the login that the form is for.
func (f passwordForm) Login() Login { return f.login }

// AllowedText lists the networks that the policy allows.
func (f passwordForm) AllowedText() string {
	var list []string
	for _, network := range f.Allowed {
		list = append(list, network.String())
	}
	return strings.Join(list, ", ")
}

// offer gives the form for a login, with the choices that its policy leaves and the usual ones taken.
func (p *Portal) offer(r *http.Request, l Login) passwordForm {
	rules := l.Policy.Passwords
	f := passwordForm{
		login: l, Uses: uses(l.Policy), Here: networkOf(remote(r)), Allowed: l.Policy.Networks, MayShort: rules.Length == 0,
		Where: "anywhere", Wrong: make(map[string]string),
	}
	for _, days := range []int{30, 90, 365, 730} {
		if rules.MaxLife == 0 || time.Duration(days)*24*time.Hour < time.Duration(rules.MaxLife) {
			f.Lives = append(f.Lives, strconv.Itoa(days))
		}
	}
	if rules.MaxLife > 0 {
		f.Lives, f.Longest = append(f.Lives, lifeMax), p.now().Add(time.Duration(rules.MaxLife))
	} else {
		f.Lives = append(f.Lives, lifeNever)
	}
	f.Use, f.Life = f.Uses[0], f.Lives[len(f.Lives)-1]
	if slices.Contains(f.Lives, "365") {
		f.Life = "365"
	}
	return f
}

// networkOf gives the network that an address is most likely in: its /24, or its /64 for IPv6.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 24
	}
	prefix, _ := a.Prefix(bits) // an address that is not valid gives a prefix that is not
	return prefix
}

// fill takes over what was filled in. Choices that the form does not offer stay as they are.
func (f *passwordForm) fill(values url.Values) {
	f.Label, f.Networks, f.Ticket = strings.TrimSpace(values.Get("label")), values.Get("networks"), values.Get("ticket")
	if u := use(values.Get("use")); slices.Contains(f.Uses, u) {
		f.Use = u
	}
	if life := values.Get("life"); slices.Contains(f.Lives, life) {
		f.Life = life
	}
	if where := values.Get("where"); where == "here" && f.Here.IsValid() || where == "listed" {
		f.Where = where
	}
	f.Short = f.MayShort && values.Get("short") != ""
	f.Legacy = f.MayLegacy && values.Get("legacy") != ""
}

// check gives the password that the form asks for, or says in Wrong what is wrong with it.
func (f *passwordForm) check(language string, now time.Time) NewPassword {
	n := NewPassword{Login: f.login.Login, Label: f.Label, Short: f.Short, LegacyTLS: f.Legacy}
	n.Protocols, n.ReadOnly = f.Use.protocols()
	wrong := func(field, key string, fill ...any) { f.Wrong[field], _ = words(language, key, fill...) }
	switch {
	case f.Label == "":
		wrong("label", "create.wrong.label-missing")
	case utf8.RuneCountInString(f.Label) > maxLabel, !utf8.ValidString(f.Label), strings.ContainsFunc(f.Label, func(r rune) bool { return !unicode.IsPrint(r) }):
		wrong("label", "create.wrong.label", maxLabel)
	}
	switch f.Where {
	case "here":
		n.Networks = []netip.Prefix{f.Here}
	case "listed":
		var bad string
		if n.Networks, bad = parseNetworks(f.Networks); bad != "" {
			wrong("networks", "create.wrong.network", bad)
		} else if len(n.Networks) == 0 {
			wrong("networks", "create.wrong.network-missing")
		}
	}
	for _, network := range n.Networks {
		if len(f.Allowed) > 0 && !slices.ContainsFunc(f.Allowed, network.Overlaps) {
			wrong("networks", "create.wrong.network-outside", network)
		}
	}
	if days, err := strconv.Atoi(f.Life); err == nil {
		n.Expires = now.AddDate(0, 0, days)
	}
	return n
}

// parseNetworks reads networks or single addresses that are parted by spaces, commas or line ends. bad is the first that
// is none, or the first that is one too many.
func parseNetworks(text string) (networks []netip.Prefix, bad string) {
	if len(text) > maxNetworksText {
		return nil, text[:20] + "…"
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' }) {
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(word); err == nil && address.Zone() == "" {
				prefix = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
			}
		}
		if !prefix.IsValid() || len(networks) == maxNetworks {
			return nil, word
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, ""
}
