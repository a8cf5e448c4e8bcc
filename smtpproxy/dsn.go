package smtpproxy

import (
	"strings"
	"unicode/utf8"
)

const (
	// maxEnvelopeID and maxOriginalRecipient are the longest values of ENVID and ORCPT in bytes (RFC 3461 sections 4.4, 4.2).
	maxEnvelopeID        = 100
	maxOriginalRecipient = 500
)

// validDSN reports whether a parameter that asks for delivery status notifications has the form of RFC 3461 section 4.
// Others are valid here. What is not of this form is handed on to nobody, since it goes into reports as well.
func validDSN(p parameter) bool {
	switch p.keyword {
	case "RET":
		return strings.EqualFold(p.value, "FULL") || strings.EqualFold(p.value, "HDRS")
	case "ENVID":
		return p.value != "" && len(p.value) <= maxEnvelopeID && validXtext(p.value)
	case "NOTIFY":
		return validNotify(p.value)
	case "ORCPT":
		kind, address, _ := strings.Cut(p.value, ";")
		if len(p.value) > maxOriginalRecipient || !validKeyword(kind) || address == "" {
			return false
		}
		if strings.EqualFold(kind, "utf-8") { // RFC 6533 section 3
			return utf8.ValidString(address)
		}
		return validXtext(address)
	}
	return true
}

// validNotify is NEVER, or a list of the others without one twice.
func validNotify(value string) bool {
	if strings.EqualFold(value, "NEVER") {
		return true
	}
	seen := make(map[string]bool)
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" || seen[word] {
			return false
		}
		seen[word] = true
	}
	return true
}

// validXtext is xtext: printable ASCII, with + and two upper case hexadecimal digits for what else there may be.
func validXtext(s string) bool {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '+':
			if i+2 >= len(s) || !strings.Contains(hex, s[i+1:i+2]) || !strings.Contains(hex, s[i+2:i+3]) {
				return false
			}
			i += 2
		case b < '!' || b > '~' || b == '=':
			return false
		}
	}
	return true
}
