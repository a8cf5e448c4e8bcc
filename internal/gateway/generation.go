package gateway

import (
	"postern/auth"
	"postern/internal/config"
)

// generation is a configuration with what is made of it and of nothing else. It does not change once it is made; a reload
// makes the next one and puts it in its place. Whoever answers a question takes the one that is in force once, so that
// the whole answer comes from one configuration.
type generation struct {
	config    *config.Config
	directory *auth.Directory
	upstreams upstreams
}

// newGeneration makes the generation of a configuration. Of the one before it takes over what stays the same; nil for the
// first. It reads the secrets and certificates of the providers, and connects to nothing.
func newGeneration(c *config.Config, before *generation) (*generation, error) {
	var old upstreams
	if before != nil {
		old = before.upstreams
	}
	up, err := newUpstreams(c.Providers, old)
	if err != nil {
		return nil, err
	}
	return &generation{config: c, directory: auth.NewDirectory(c), upstreams: up}, nil
}

// generation gives the one that is in force.
func (g *Gateway) generation() *generation { return g.current.Load() }
