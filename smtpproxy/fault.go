package smtpproxy

// fault is why a message that is being read is not passed on. It is an error of [edit.Write].
type fault struct {
	reason string // for the audit
	reply  reply
}

// Error gives the reason, for the log.
func (f *fault) Error() string { return f.reason }

// The faults that more than one place finds.
var (
	faultTooBig   = &fault{"too-big", replyTooBig}
	faultBare     = &fault{"bare-line-end", replyBareLineEnd}
	faultUpstream = &fault{"upstream-unavailable", replyUpstreamBroken}
	faultHeader   = &fault{"header-too-big", say(552, "5.3.4 The header of the message is larger than 256 KB")}
	faultLoop     = &fault{"loop", say(554, "5.4.6 Routing loop: the message has been through too many servers")}
	faultEightBit = &fault{"undeclared-8bit", say(554, "5.6.1 8-bit characters were not announced with BODY=8BITMIME")}
	// faultSpool: the queue would have to take it, and there is no room.
	faultSpool = &fault{"queue-unavailable", queueReply(nil)}
)
