// Package e2e runs the real program with real clients.
//
// Each test starts what it needs as processes of their own: the demo, or a gateway beside the simulator or beside a
// Dovecot. It then uses them as a person or a device would: curl, swaks, msmtp, mbsync, fetchmail, mutt, OfflineIMAP,
// Python's libraries and go-imap's client. Nothing is called in-process, so what passes here passes for an administrator
// who has only the binary. Dialogues are played twice, straight at a server and through Postern, and the answers compared.
//
// Tests run in parallel but for those that measure the gateway.
//
// The program is built once, with the race detector when the tests have it; a race that it reports fails the test. A
// missing client skips its tests, unless POSTERN_TEST_TOOLS is "require". All addresses are loopback.
//
// The package has no code outside of its tests.
package e2e
