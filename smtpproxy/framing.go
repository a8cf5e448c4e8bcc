package smtpproxy

// framing finds the message in what the client sends behind DATA.
type framing interface {
	// take looks at the bytes of p that are new: those behind the first held ones. It gives the bytes that can go on, the
	// number of new bytes that belong to the message, its end included, and whether it has ended. portion is valid until
	// the next call, as long as p is.
	take(p []byte, held int) (portion []byte, used int, ended bool)
	// undecided is the number of bytes at the end of what belongs to the message that wait for what follows them. They
	// are the first of the next p, and held.
	undecided() int
	// isBare reports whether a line end has been seen that nothing is to be made of.
	isBare() bool
}

// framing gives what the listener's profile has for a message whose DATA ended as the last command did.
func (d *dialogue) framing() framing {
	switch {
	case d.bareLF:
		return &repair{lines: true}
	case d.door.Profile.LFInData:
		return &repair{}
	}
	return &endOfData{}
}

func (e *endOfData) take(p []byte, held int) (portion []byte, used int, ended bool) {
	used, ended = e.scan(p[held:])
	return p[:held+used-e.undecided()], used, ended
}

func (e *endOfData) isBare() bool { return e.bare }
