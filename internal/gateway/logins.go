package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/store"
)

// LoginState says whether the gateway has tokens for a login.
type LoginState string

const (
	Ready       LoginState = "ready"
	NotEnrolled LoginState = "not enrolled"  // its person has never signed in
	NeedsSignIn LoginState = "needs sign-in" // they have to do it again
	Refused     LoginState = "refused"       // an administrator of the tenant has to act, and then postern user recheck
)

// User is a login with all that is known of it.
type User struct {
	auth.Mapping
	State     LoginState
	Reason    string    // why it needs a sign-in, or is refused
	Since     time.Time // of the state; the zero time where nobody has to sign in
	Lock      *Lock     // nil when it is not locked
	Passwords int       // app passwords in force
	Suspended int       // of these, how many are refused for want of evidence
	LastUse   apppassword.Use
}

// Users gives the logins that the configuration names one by one, in its order, and then those of its match rules of which
// something is known: whose person has signed in, that have app passwords, or that are locked.
func (a *Admin) Users(ctx context.Context) ([]User, error) {
	known, err := a.known(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var users []User
	listed := make(map[string]bool)
	add := func(mapping auth.Mapping) {
		if !listed[mapping.Login] {
			listed[mapping.Login] = true
			users = append(users, a.describe(mapping, known, now))
		}
	}
	for _, mapping := range a.directory.Logins() {
		if decides, ok := a.directory.Lookup(mapping.Login); ok { // a match before it may have taken the login
			add(decides)
		}
	}
	for _, name := range known.names() {
		if mapping, mapped := a.directory.Lookup(name); mapped {
			add(mapping)
		}
	}
	return users, nil
}

// User gives one login, also one that a match rule maps and of which nothing is known, by any of its names.
func (a *Admin) User(ctx context.Context, login string) (User, error) {
	mapping, err := a.mapping(login)
	if err != nil {
		return User{}, err
	}
	known, err := a.knownOf(ctx, mapping)
	if err != nil {
		return User{}, err
	}
	return a.describe(mapping, known, time.Now()), nil
}

// knowledge is what the store knows of logins.
type knowledge struct {
	locks     map[string]Lock
	accounts  map[token.Account]store.Account
	passwords map[string][]apppassword.Record // login → its app passwords
}

// known reads what there is of all logins, in three queries however many they are.
func (a *Admin) known(ctx context.Context) (knowledge, error) {
	k := knowledge{make(map[string]Lock), make(map[token.Account]store.Account), make(map[string][]apppassword.Record)}
	locks, err := a.state.Store.Locks(ctx)
	if err != nil {
		return k, err
	}
	for _, row := range locks {
		k.locks[row.Login] = lockOf(row)
	}
	accounts, err := a.state.Store.Accounts(ctx)
	if err != nil {
		return k, err
	}
	for _, row := range accounts {
		k.accounts[accountOf(row)] = row
	}
	passwords, err := a.Passwords(ctx, "")
	for _, p := range passwords {
		k.passwords[p.Login] = append(k.passwords[p.Login], p)
	}
	return k, err
}

// knownOf reads what there is of one login.
func (a *Admin) knownOf(ctx context.Context, mapping auth.Mapping) (knowledge, error) {
	k := knowledge{make(map[string]Lock), make(map[token.Account]store.Account), make(map[string][]apppassword.Record)}
	lock, err := a.lock(ctx, mapping.Login)
	if err != nil {
		return k, err
	}
	if lock != nil {
		k.locks[mapping.Login] = *lock
	}
	if mapping.Account.Grant == token.Delegated {
		row, err := a.state.Store.Account(ctx, mapping.Account.Provider, mapping.Account.Name)
		if err != nil && !isNotFound(err) {
			return k, err
		}
		if err == nil {
			k.accounts[mapping.Account] = row
		}
	}
	k.passwords[mapping.Login], err = a.Passwords(ctx, mapping.Login)
	return k, err
}

// names gives the names of which something is known, sorted.
func (k knowledge) names() []string {
	names := slices.Collect(maps.Keys(k.locks))
	names = slices.AppendSeq(names, maps.Keys(k.passwords))
	for account := range k.accounts {
		names = append(names, account.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describe puts together what is known of a login.
func (a *Admin) describe(mapping auth.Mapping, known knowledge, now time.Time) User {
	u := User{Mapping: mapping, State: Ready}
	if lock, locked := known.locks[mapping.Login]; locked {
		u.Lock = &lock
	}
	if mapping.Account.Grant == token.Delegated {
		account, enrolled := known.accounts[mapping.Account]
		switch {
		case !enrolled:
			u.State = NotEnrolled
		case account.State == store.NeedsSignIn:
			u.State, u.Reason = NeedsSignIn, account.Reason
		case account.State == store.Refused:
			u.State, u.Reason = Refused, account.Reason
		}
		u.Since = account.Since
	}
	for _, p := range known.passwords[mapping.Login] {
		if p.LastUse.At.After(u.LastUse.At) {
			u.LastUse = p.LastUse
		}
		if p.InForce(now) {
			u.Passwords++
			if suspended(p, mapping, now) != "" {
				u.Suspended++
			}
		}
	}
	return u
}

// accountOf gives the account that a row is of.
func accountOf(row store.Account) token.Account {
	return token.Account{Provider: row.Provider, Grant: token.Delegated, Name: row.Name}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
