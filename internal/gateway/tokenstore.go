package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/auth/token"
	"postern/internal/store"
)

// tokenStore is the store as package token wants it.
type tokenStore struct{ *store.Store }

func (s tokenStore) Enrolment(ctx context.Context, account token.Account) (token.Enrolment, error) {
	enrolment, enrolled, err := s.find(ctx, account)
	if err == nil && !enrolled {
		err = fmt.Errorf("%s: %w", account, token.ErrNotEnrolled)
	}
	return enrolment, err
}

// find gives an enrolment if there is one.
func (s tokenStore) find(ctx context.Context, account token.Account) (enrolment token.Enrolment, enrolled bool, err error) {
	row, err := s.Store.Account(ctx, account.Provider, account.Name)
	if errors.Is(err, store.ErrNotFound) {
		return token.Enrolment{}, false, nil
	}
	if err != nil {
		return token.Enrolment{}, false, err
	}
	return enrolmentOf(row), true, nil
}

func enrolmentOf(row store.Account) token.Enrolment {
	return token.Enrolment{
		Identity:    token.Identity{TenantID: row.TenantID, ObjectID: row.ObjectID, Username: row.Username},
		NeedsSignIn: row.State == store.NeedsSignIn,
		Refused:     row.State == store.Refused,
		Asked:       row.Asked,
		RetryAt:     row.RetryAt,
		Reason:      row.Reason,
		Since:       row.Since,
	}
}

func (s tokenStore) SaveEnrolment(ctx context.Context, account token.Account, e token.Enrolment, key token.CacheKey, cache []byte) error {
	return s.Store.SaveEnrolment(ctx, store.Account{
		Provider: account.Provider, Name: account.Name, TenantID: e.Identity.TenantID, ObjectID: e.Identity.ObjectID,
		Username: e.Identity.Username, Standing: standing(e),
	}, store.TokenCacheKey(key), cache)
}

func (s tokenStore) SetStanding(ctx context.Context, account token.Account, now token.Enrolment) error {
	return s.Store.SetStanding(ctx, account.Provider, account.Name, standing(now))
}

// standing gives how an enrolled account stands as the store has it.
func standing(e token.Enrolment) store.Standing {
	state := store.OK
	switch {
	case e.NeedsSignIn:
		state = store.NeedsSignIn
	case e.Refused:
		state = store.Refused
	}
	return store.Standing{State: state, Reason: e.Reason, Since: e.Since, Asked: e.Asked, RetryAt: e.RetryAt}
}

func (s tokenStore) Idle(ctx context.Context, before, ahead time.Time, limit int) ([]token.Account, error) {
	rows, err := s.IdleAccounts(ctx, before, ahead, limit)
	accounts := make([]token.Account, len(rows))
	for i, row := range rows {
		accounts[i] = token.Account{Provider: row.Provider, Grant: token.Delegated, Name: row.Name}
	}
	return accounts, err
}

func (s tokenStore) Cache(ctx context.Context, key token.CacheKey) ([]byte, error) {
	content, err := s.LoadTokenCache(ctx, store.TokenCacheKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return content, err
}

func (s tokenStore) Used(ctx context.Context, account token.Account, identity token.Identity) (time.Time, error) {
	return s.TokensSaved(ctx, account.Provider, identity.TenantID, identity.ObjectID)
}

func (s tokenStore) SaveCache(ctx context.Context, key token.CacheKey, content []byte) error {
	return s.SaveTokenCache(ctx, store.TokenCacheKey(key), content)
}

// TakeLease goes by the clock that all gateways with the store share, and not by this one's.
func (s tokenStore) TakeLease(ctx context.Context, key token.CacheKey, holder string, _ time.Time, life time.Duration) (bool, error) {
	return s.Store.TakeLease(ctx, store.TokenCacheKey(key), holder, s.Now(), life)
}

func (s tokenStore) ReleaseLease(ctx context.Context, key token.CacheKey, holder string) error {
	return s.Store.ReleaseLease(ctx, store.TokenCacheKey(key), holder)
}
