package e2e

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestI42RotationKilledBesideTwoNodes: with two gateways on one PostgreSQL a rotation of the keys is begun again and again, and
// killed at any instant. Nobody who signs in at either gateway notices, everything opens, and in the end one rotation goes through
// and the old keys are gone.
func TestI42RotationKilledBesideTwoNodes(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	a, b := nodes(t, func() (*deployment, *gateway) { return deploy(t, s, s.upstreams()) })
	user := a.named(t, "alice@contoso.example")
	works := func(when string) {
		t.Helper()
		for _, n := range []node{a, b} {
			if got := n.imapSignIn(t, n.gateway, user); !strings.HasPrefix(got, "OK") {
				t.Errorf("%s a client heard %q, want OK", when, got)
			}
		}
	}
	const kills = 8
	for range kills {
		rotation := exec.Command(program, "keys", "rotate", "-c", a.config)
		if err := rotation.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(1500 * time.Millisecond))
		_ = rotation.Process.Kill()
		_ = rotation.Wait() // it may have been through
		works("after a rotation was killed")
		a.command(t, program, 0, "keys", "check")
	}
	a.command(t, program, 0, "keys", "rotate")
	works("after the rotation")
	a.command(t, program, 0, "keys", "retire")
	works("without the old keys")
	b.command(t, program, 0, "keys", "check")
	for line := range strings.Lines(a.command(t, program, 0, "keys", "list")) {
		if strings.Contains(line, "seal ") && strings.Contains(line, " old ") {
			t.Errorf("an old key that seals is left: %s", line)
		}
	}
}
