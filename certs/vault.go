package certs

import (
	"context"
	"time"
)

// Item is something that a [Vault] keeps.
type Item struct {
	Name     string // a path, such as private-ca/root
	Modified time.Time
	Content  []byte // nil in lists
}

// Vault keeps certificates with their keys, and what belongs to getting them, for all gateways that share it. It seals what
// it keeps. It is safe for concurrent use.
type Vault interface {
	// Load gives an item. The error wraps [io/fs.ErrNotExist] where there is none of that name.
	Load(ctx context.Context, name string) (Item, error)
	// Store keeps an item in the stead of the one of that name.
	Store(ctx context.Context, name string, content []byte) error
	// Delete removes the item of a name and all below it. That there is none is no error.
	Delete(ctx context.Context, name string) error
	// List gives the item of a name and all below it, by name.
	List(ctx context.Context, name string) ([]Item, error)
	// Lock waits until nobody else has the lock of that name, in any gateway, and takes it. It is given back by unlock, and
	// when its holder dies, some time after that.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}
