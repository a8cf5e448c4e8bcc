package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/queue"
	"postern/internal/store"
)

// enqueue puts a message of a login into the queue of an office's store.
func enqueue(t *testing.T, o *portalOffice, id, login string) {
	t.Helper()
	err := o.state.Store.Enqueue(t.Context(), store.QueuedMessage{
		ID: id, Mailbox: login, Login: login, State: store.Waiting, Size: 3, Parts: 1, Accepted: time.Now(), NextTry: time.Now(),
		Record: []byte("{}"), Recipients: []store.QueuedRecipient{{State: store.RecipientWaiting}},
	}, []store.Part{{Content: []byte("x\r\n")}}, o.state.Store.Generation())
	if err != nil {
		t.Fatal(err)
	}
}

// states gives the queue as id and state.
func states(t *testing.T, o *portalOffice) (all []string) {
	t.Helper()
	rows, err := o.state.Store.QueuedMessages(t.Context(), store.QueueFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		all = append(all, row.ID+" "+string(row.State))
	}
	slices.Sort(all)
	return all
}

func TestLockdownHoldsTheQueueOfThoseWithin(t *testing.T) {
	o := newPortalOffice(t)
	enqueue(t, o, "m1", "copier-3")
	enqueue(t, o, "m2", "alice@contoso.example")
	report, err := o.admin("root").Lockdown(t.Context(), LockdownOrder{Policy: "device", Reason: "worm"})
	if err != nil || report.Held != 1 || len(report.Lockdowns) != 1 || report.Lockdowns[0].Queued != 1 || report.Lockdowns[0].Logins != 1 {
		t.Fatalf("got %+v, %v", report, err)
	}
	if got, want := states(t, o), []string{"m1 barred", "m2 waiting"}; !slices.Equal(got, want) {
		t.Errorf("the queue is %q, want %q", got, want)
	}
	who := submitters{generation: func() *generation { return &generation{config: o.config, directory: o.directory} }, store: o.state.Store}
	copier := queue.Submitter{Login: "copier-3", Mailbox: "scans@contoso.example", User: "scans@contoso.example", Provider: "contoso", Grant: "application"}
	if barred, err := who.Barred(t.Context(), copier, true); err != nil || barred != lockdownBars {
		t.Errorf("its next message: got %q, %v; want it barred, also when it was released", barred, err)
	}
	if _, left, err := o.admin("root").LiftLockdown(t.Context(), LockdownOrder{Policy: "device"}); err != nil || len(left) != 0 {
		t.Errorf("lifted: got %v left, %v", left, err)
	}
	if barred, err := who.Barred(t.Context(), copier, false); err != nil || barred != "" {
		t.Errorf("after it: got %q, %v; want it let go", barred, err)
	}
}

// TestI43LockdownIsRecordedFirst: where the audit log does not take it, nothing happens.
func TestI43LockdownIsRecordedFirst(t *testing.T) {
	o := newPortalOffice(t)
	enqueue(t, o, "m1", "copier-3")
	if err := o.state.Audit.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.admin("root").Lockdown(t.Context(), LockdownOrder{All: true}); err == nil {
		t.Error("a lockdown began without a record")
	}
	if on, err := o.admin("root").Lockdowns(t.Context()); err != nil || len(on) != 0 {
		t.Errorf("on are %v, %v", on, err)
	}
	if got, want := states(t, o), []string{"m1 waiting"}; !slices.Equal(got, want) {
		t.Errorf("the queue is %q, want %q", got, want)
	}
}

func TestNothingIsIssuedInALockdown(t *testing.T) {
	o := newPortalOffice(t)
	if _, err := o.admin("root").Lockdown(t.Context(), LockdownOrder{Logins: []string{`office\copier`}}); err != nil {
		t.Fatal(err)
	}
	err := lockdownOf(t.Context(), o.state.Store, mappingFor(t, o, "copier-3"))
	if err == nil || !strings.Contains(err.Error(), "postern lockdown status") {
		t.Errorf("got %v, want what is in the way", err)
	}
	if err := lockdownOf(t.Context(), o.state.Store, mappingFor(t, o, "alice@contoso.example")); err != nil {
		t.Errorf("for another: %v", err)
	}
}

func TestScopesOfAccounts(t *testing.T) {
	o := newPortalOffice(t)
	application := token.Account{Provider: "contoso", Grant: token.Application}
	alice := token.Account{Provider: "contoso", Grant: token.Delegated, Name: "alice@contoso.example"}
	for _, test := range []struct {
		scope       store.Scope
		copier, her bool
	}{
		{store.Scope{Kind: store.ScopeAll}, true, true},
		{store.Scope{Kind: store.ScopePolicy, Name: "device"}, true, false},
		{store.Scope{Kind: store.ScopePolicy, Name: "person"}, false, true},
		{store.Scope{Kind: store.ScopeLogin, Name: "copier-3"}, true, false},
		{store.Scope{Kind: store.ScopeLogin, Name: alice.Name}, false, true},
		{store.Scope{Kind: store.ScopeLogin, Name: "bob@contoso.example"}, false, false},
	} {
		if got := opensFor(o.config, o.directory, application, test.scope); got != test.copier {
			t.Errorf("%s has the application: %v, want %v", test.scope, got, test.copier)
		}
		if got := opensFor(o.config, o.directory, alice, test.scope); got != test.her {
			t.Errorf("%s has alice: %v, want %v", test.scope, got, test.her)
		}
	}
}

func TestLockdownOrdersThatMakeNoSense(t *testing.T) {
	o := newPortalOffice(t)
	for _, order := range []LockdownOrder{
		{}, {All: true, Policy: "device"}, {Logins: []string{"copier-3", "stranger"}}, {Policy: "stranger"}, {All: true, Reason: "two\nlines"},
	} {
		if _, err := o.admin("root").Lockdown(t.Context(), order); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: got %v", order, err)
		}
	}
	if on, err := o.admin("root").Lockdowns(t.Context()); err != nil || len(on) != 0 {
		t.Errorf("on are %v, %v", on, err)
	}
}

func mappingFor(t *testing.T, o *portalOffice, login string) auth.Mapping {
	t.Helper()
	mapping, known := o.directory.Lookup(login)
	if !known {
		t.Fatalf("there is no login %s", login)
	}
	return mapping
}
