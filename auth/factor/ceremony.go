package factor

import (
	"context"

	"postern/internal/secret"
)

// begin keeps what a person has begun in a browser, in the stead of what was begun there for the same purpose.
func (k *Keeper) begin(ctx context.Context, a Actor, purpose string, content secret.Text) error {
	now := k.now()
	return k.store.SaveCeremony(ctx, Ceremony{
		Browser: a.Browser, Purpose: purpose, Person: a.Person, Expires: now.Add(ceremonyTime), Content: content,
	}, now)
}

// pending gives what the person has begun in this browser for a purpose.
func (k *Keeper) pending(ctx context.Context, a Actor, purpose string) (secret.Text, error) {
	c, found, err := k.store.Ceremony(ctx, a.Browser, purpose)
	return k.begun(a, c, found, err)
}

// take is as pending and removes it, so that it counts once.
func (k *Keeper) take(ctx context.Context, a Actor, purpose string) (secret.Text, error) {
	c, found, err := k.store.TakeCeremony(ctx, a.Browser, purpose)
	return k.begun(a, c, found, err)
}

// begun gives a ceremony's content, if it is the person's and not too old.
func (k *Keeper) begun(a Actor, c Ceremony, found bool, err error) (secret.Text, error) {
	switch {
	case err != nil:
		return secret.Text{}, err
	case !found, c.Person != a.Person, k.now().After(c.Expires):
		return secret.Text{}, refuse(NotBegun)
	}
	return c.Content, nil
}
