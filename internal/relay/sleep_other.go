//go:build !linux

package relay

// sleep is where connections would wait without a goroutine, as they do on Linux. Here each keeps its own.
var sleep dormitory

type dormitory struct{}

func (dormitory) put(*Conn, func()) bool { return false }
func (dormitory) rouse(*Conn)            {}
