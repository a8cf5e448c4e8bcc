package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"postern/internal/audit"
	"postern/internal/keys"
	"postern/internal/store"
	"postern/internal/web"
)

// Key is a key of the keys file, with what is under it.
type Key struct {
	keys.Key
	Records   int `json:"records"`   // sealed with it; of keys that seal
	Passwords int `json:"passwords"` // app passwords in force whose hash is under it; of keys that hash
}

// KeyWalk hears how far a walk through all that is sealed has come.
type KeyWalk func(what string, done int)

// Keys gives the keys of the keys file with what is under each, as it says itself: [Admin.CheckKeys] opens it, too.
func (a *Admin) Keys(ctx context.Context) ([]Key, error) {
	list, err := a.state.Keys.Keys()
	if err != nil {
		return nil, err
	}
	records, err := a.state.Store.CountSealed(ctx)
	if err != nil {
		return nil, err
	}
	passwords, err := a.hashKeys(ctx)
	if err != nil {
		return nil, err
	}
	var all []Key
	for _, k := range list {
		key := Key{Key: k}
		switch k.Use {
		case "seal":
			key.Records = records[k.ID]
		case "hash":
			key.Passwords = passwords[k.ID]
		}
		all = append(all, key)
	}
	return all, nil
}

func tell(told KeyWalk) func(store.Sealing) {
	return func(so store.Sealing) { told(so.What, so.Done) }
}

// hashKeys counts the app passwords in force by the key that their hash is under. Of those from before that was noted, it is
// the oldest.
func (a *Admin) hashKeys(ctx context.Context) (map[uint32]int, error) {
	passwords, err := a.Passwords(ctx, "")
	if err != nil {
		return nil, err
	}
	list, err := a.state.Keys.Keys()
	if err != nil {
		return nil, err
	}
	var oldest uint32
	for _, k := range list {
		if k.Use == "hash" {
			oldest = k.ID // the primary one is first, and then the newest
		}
	}
	counts := make(map[uint32]int)
	for _, p := range passwords {
		if !p.InForce(time.Now()) {
			continue
		}
		if p.HashKey == 0 {
			p.HashKey = oldest
		}
		counts[p.HashKey]++
	}
	return counts, nil
}

// CheckKeys opens everything that is sealed, and gives how many records there are and which do not open.
func (a *Admin) CheckKeys(ctx context.Context, told KeyWalk) (records int, broken []string, err error) {
	found, err := a.state.Store.CheckSealed(ctx, web.SessionPlace, tell(told))
	for _, n := range found.Counts {
		records += n
	}
	return records, found.Broken, err
}

// Rotation says how keys are to be rotated.
type Rotation struct {
	Signing bool // the key of the audit log's heads, too
	Retire  bool // remove the old keys in the end
	// Nodes says that every other node has the keys file as it is now.
	Nodes bool
}

// Rotated says what a rotation has come to.
type Rotated struct {
	Prepared bool     `json:"prepared"` // the new keys are in the file, and not used yet: other nodes have to have it first
	Others   []string `json:"others"`   // these
	Resumed  bool     `json:"resumed"`  // it was begun before
	Records  int      `json:"records"`  // that are under the new key
	Broken   []string `json:"broken"`   // that do not open
	Waiting  int      `json:"waiting"`  // app passwords that move to the new hashing key when they are used next
	Retired  bool     `json:"retired"`  // the old keys that seal are gone, and those that hash unless passwords wait
}

// RotateKeys puts new keys into the keys file, has running gateways take them up, and seals everything anew that was sealed
// with old ones, while all goes on. It may end anywhere: called again it goes on where it was. App passwords move to the new
// hashing key when they are used; the old one stays for the others.
//
// Where gateways on other machines share the store, it stops once the new keys are in the file, until it is told that all
// of them have it.
func (a *Admin) RotateKeys(ctx context.Context, r Rotation, told KeyWalk) (Rotated, error) {
	done, goOn, err := a.beginRotation(ctx, r, told)
	if err != nil || !goOn {
		return done, err
	}
	so, err := a.state.Store.ResealAll(ctx, web.SessionPlace, tell(told))
	done.Broken = append(done.Broken, so.Broken...)
	seal, hash := a.state.Keys.Primaries()
	done.Records = so.Counts[seal]
	if err != nil {
		return done, err
	}
	passwords, err := a.hashKeys(ctx)
	if err != nil {
		return done, err
	}
	for key, n := range passwords {
		if key != hash {
			done.Waiting += n
		}
	}
	if err := a.state.Audit.Record(audit.KeysResealed{Seal: seal, Records: done.Records, Broken: len(done.Broken), By: a.by}); err != nil {
		return done, err
	}
	if r.Retire {
		err = a.retire(&done)
	}
	return done, err
}

// beginRotation brings the keys file to where everything can be sealed anew; goOn is false when other nodes have to be seen
// to first.
func (a *Admin) beginRotation(ctx context.Context, r Rotation, told KeyWalk) (done Rotated, goOn bool, err error) {
	ring := a.state.Keys
	done = Rotated{Others: []string{}, Broken: []string{}, Resumed: ring.IsPrepared()}
	if !done.Resumed {
		if done.Resumed, err = a.unfinished(ctx, told); err != nil || done.Resumed {
			return done, true, err
		}
	}
	if done.Others, err = a.otherNodes(ctx); err != nil {
		return done, false, err
	}
	if err := a.state.Audit.Record(audit.KeysRotated{Signing: r.Signing, By: a.by}); err != nil {
		return done, false, err
	}
	if err := ring.Prepare(); err != nil {
		return done, false, err
	}
	if err := a.awaitKeys(ctx, func(in keysInUse) bool { return in.Prepared }); err != nil {
		return done, false, err
	}
	if len(done.Others) > 0 && !r.Nodes {
		done.Prepared = true
		return done, false, nil
	}
	if err := ring.Promote(); err != nil {
		return done, false, err
	}
	if r.Signing {
		if err := ring.RotateSigning(); err != nil {
			return done, false, err
		}
	}
	seal, _ := ring.Primaries()
	return done, true, a.awaitKeys(ctx, func(in keysInUse) bool { return in.Seal == seal })
}

// unfinished reports whether there is something under an old key.
func (a *Admin) unfinished(ctx context.Context, told KeyWalk) (bool, error) {
	if old, err := a.state.Keys.HasOld(); err != nil || !old {
		return false, err
	}
	found, err := a.state.Store.CheckSealed(ctx, web.SessionPlace, tell(told))
	seal, _ := a.state.Keys.Primaries()
	for key := range found.Counts {
		if key != seal {
			return true, err
		}
	}
	return false, err
}

// otherNodes gives the machines, other than this one, on which gateways use the store now.
func (a *Admin) otherNodes(ctx context.Context) ([]string, error) {
	nodes, err := a.state.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	own, _ := os.Hostname()
	others := []string{}
	for _, n := range nodes {
		if n.Host != own && n.AliveUntil.After(a.state.Store.Now()) && !slices.Contains(others, n.Host) {
			others = append(others, n.Host)
		}
	}
	return others, nil
}

// awaitKeys waits until the gateways on this machine have taken up the keys file: the one at the admin socket says so;
// others look at it every [keysCheck].
func (a *Admin) awaitKeys(ctx context.Context, has func(keysInUse) bool) error {
	in, err := Reach(a.config.AdminSocket).refreshKeys(ctx)
	switch {
	case errors.Is(err, errNoGateway):
	case err != nil:
		return err
	case !has(in):
		return fmt.Errorf("the running gateway has another keys file than %s: give it this one", a.state.Keys.Path())
	}
	nodes, err := a.state.Store.Nodes(ctx)
	if err != nil || len(nodes) == 0 {
		return err
	}
	select {
	case <-time.After(2 * keysCheck):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RetireKeys removes the old keys that nothing is under any more.
func (a *Admin) RetireKeys(ctx context.Context, told KeyWalk) (Rotated, error) {
	done := Rotated{Resumed: true, Others: []string{}, Broken: []string{}}
	seal, hash := a.state.Keys.Primaries()
	if err := a.awaitKeys(ctx, func(in keysInUse) bool { return in.Seal == seal }); err != nil {
		return done, err
	}
	found, err := a.state.Store.CheckSealed(ctx, web.SessionPlace, tell(told))
	if err != nil {
		return done, err
	}
	done.Broken, done.Records = append(done.Broken, found.Broken...), found.Counts[seal]
	for key, n := range found.Counts {
		if key != seal {
			return done, fmt.Errorf("%d records are sealed with old key %d still: postern keys rotate goes on with them", n, key)
		}
	}
	passwords, err := a.hashKeys(ctx)
	if err != nil {
		return done, err
	}
	for key, n := range passwords {
		if key != hash {
			done.Waiting += n
		}
	}
	return done, a.retire(&done)
}

// retire removes the old keys that seal, and those that hash unless app passwords wait.
func (a *Admin) retire(done *Rotated) error {
	if len(done.Broken) > 0 {
		return fmt.Errorf("%d records do not open, and the old keys may be what they need; postern keys check names them: mend or remove them first", len(done.Broken))
	}
	if err := a.state.Audit.Record(audit.KeysRetired{Hashing: done.Waiting == 0, By: a.by}); err != nil {
		return err
	}
	err := a.state.Keys.Retire(done.Waiting == 0)
	done.Retired = err == nil
	return err
}
