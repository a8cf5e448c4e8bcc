//go:build !race

package smtpproxy

// raceDetector says that sync.Pool keeps what is put back.
const raceDetector = false
