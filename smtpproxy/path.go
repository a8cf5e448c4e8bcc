package smtpproxy

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

const (
	// maxLocalPart and maxDomain are RFC 5321 section 4.5.3.1, in bytes.
	maxLocalPart = 64
	maxDomain    = 255
	// maxParameters is how many parameters a MAIL or RCPT may have.
	maxParameters = 10
)

// parameter is an ESMTP parameter: keyword in upper case, and its value.
type parameter struct{ keyword, value string }

// parsePath reads what follows MAIL or RCPT: "FROM:" or "TO:", a path in angle brackets and ESMTP parameters (RFC 5321
// section 4.1.2). But for what the profile forgives it is strict: no space after the colon, no source route, no missing
// bracket.
func parsePath(argument, prefix string, profile Profile) (address string, parameters []parameter, ok bool) {
	if profile.PathSpaces {
		argument = tidy(argument, prefix)
	}
	if len(argument) < len(prefix) || !strings.EqualFold(argument[:len(prefix)], prefix) {
		return "", nil, false
	}
	path := argument[len(prefix):]
	rest, bracketed := strings.CutPrefix(path, "<")
	switch end := pathEnd(rest); {
	case bracketed && end >= 0:
		address, rest = rest[:end], rest[end+1:]
	case !bracketed && profile.MissingBrackets && path != "":
		address, rest, _ = strings.Cut(path, " ")
		if rest != "" {
			rest = " " + rest
		}
	default:
		return "", nil, false
	}
	if profile.PathSpaces {
		address = strings.Trim(address, " \t")
	}
	if (address != "" || !bracketed) && !validAddress(address) {
		return "", nil, false
	}
	parameters, ok = parseParameters(rest)
	return address, parameters, ok
}

// tidy takes away the white space that does not belong around the colon and between the words behind the path.
func tidy(argument, prefix string) string {
	word, path, found := strings.Cut(argument, ":")
	if word = strings.Trim(word, " \t") + ":"; !found || !strings.EqualFold(word, prefix) {
		return argument
	}
	path = strings.Trim(path, " \t")
	if end := pathEnd(path); strings.HasPrefix(path, "<") && end >= 0 {
		if words := strings.Fields(path[end+1:]); len(words) > 0 {
			return word + path[:end+1] + " " + strings.Join(words, " ")
		}
		return word + path[:end+1]
	}
	return word + strings.Join(strings.Fields(path), " ")
}

// pathEnd gives the index of the closing bracket, which may not be one in a quoted local part.
func pathEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// parseParameters reads " KEYWORD=value" any number of times (RFC 5321 section 4.1.2, esmtp-param). The values of RFC 3461's
// must be of its form.
func parseParameters(s string) ([]parameter, bool) {
	var parameters []parameter
	for s != "" {
		var word string
		if s[0] != ' ' || len(parameters) == maxParameters {
			return nil, false
		}
		word, s, _ = strings.Cut(s[1:], " ")
		if s != "" {
			s = " " + s
		}
		keyword, value, hasValue := strings.Cut(word, "=")
		if !validKeyword(keyword) || hasValue && !validValue(value) {
			return nil, false
		}
		keyword = strings.ToUpper(keyword)
		for _, earlier := range parameters {
			if earlier.keyword == keyword {
				return nil, false
			}
		}
		p := parameter{keyword, value}
		if !validDSN(p) {
			return nil, false
		}
		parameters = append(parameters, p)
	}
	return parameters, true
}

func validKeyword(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return !isLetterDigit(r) && r != '-' })
}

// validValue is esmtp-value, and UTF-8 as RFC 6531 section 3.3 adds it.
func validValue(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '=' || isC1(r) })
}

// validAddress is Mailbox of RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531 section 3.3.
func validAddress(address string) bool {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || !utf8.ValidString(address) {
		return false
	}
	return validLocalPart(address[:at]) && validDomain(address[at+1:])
}

func validLocalPart(s string) bool {
	if len(s) > maxLocalPart {
		return false
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return validQuoted(s[1 : len(s)-1])
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtext(r) }) {
			return false
		}
	}
	return true
}

// validQuoted is the inside of a quoted string: qtextSMTP and quoted pairs.
func validQuoted(s string) bool {
	if strings.ContainsFunc(s, isC1) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				return false
			}
		} else if s[i] == '"' {
			return false
		}
		if s[i] < 0x20 {
			return false
		}
	}
	return true
}

func validDomain(s string) bool {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		address, err := netip.ParseAddr(strings.TrimPrefix(literal, "IPv6:"))
		return ok && err == nil && address.Zone() == "" // a zone may be any text; RFC 5321 section 4.1.3 has none
	}
	if len(s) > maxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !isLetterDigit(r) && r != '-' && r != '_' && r < 0xa0 }) {
			return false
		}
	}
	return true
}

func isLetterDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// isC1 reports whether r is DEL or a control character of Latin-1.
func isC1(r rune) bool { return r >= 0x7f && r < 0xa0 }

// isAtext is atext of RFC 5322 section 3.2.3, with the UTF-8 of RFC 6531, its control characters left out.
func isAtext(r rune) bool {
	return isLetterDigit(r) || r >= 0xa0 || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}
