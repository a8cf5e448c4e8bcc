package token

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/diagnosis"
)

// f3 is the table of reference F.3: the numbers of each row with the error they come under, and who mends it.
var f3 = []struct {
	word  string
	codes []int
	want  Class
}{
	{"interaction_required", []int{50076, 50079, 50072, 50074, 50078}, NeedsSignIn},
	{"invalid_grant", []int{50076, 50079, 50072, 50074, 50078}, NeedsSignIn},
	{"interaction_required", []int{50158}, NeedsSignIn},
	{"interaction_required", []int{53000, 53001, 53002, 530003}, Misconfigured},
	{"invalid_grant", []int{53000, 53001, 53002, 530003, 53003, 530032, 530034, 530035, 53011}, Misconfigured},
	{"invalid_grant", []int{65001, 65004}, Misconfigured},
	{"consent_required", []int{65001, 65004}, Misconfigured},
	{"invalid_client", []int{650052, 650056, 650057, 90094, 90095}, Misconfigured},
	{"invalid_grant", []int{70000, 70008, 700082, 700084, 70043, 50173, 50132, 50133}, NeedsSignIn},
	{"invalid_grant", []int{50034, 50020, 50126, 50055, 50057, 50053, 50144}, NeedsSignIn},
	{"invalid_grant", []int{50105, 50131, 50097, 50005}, Misconfigured},
	{"invalid_client", []int{7000215, 7000222, 700027, 700025, 7000218, 700030}, Misconfigured},
	{"invalid_request", []int{7000218}, Misconfigured},
	{"unauthorized_client", []int{700016, 70001, 7000112, 700011, 700021}, Misconfigured},
	{"invalid_request", []int{90002, 50059, 50128, 900023}, Misconfigured},
	{"invalid_request", []int{50011, 900144, 90014, 9002313, 900561}, Misconfigured},
	{"invalid_scope", []int{70011, 1002012}, Misconfigured},
	{"invalid_request", []int{28000, 700022}, Misconfigured},
	{"invalid_resource", []int{500011, 500014, 501051}, Misconfigured},
	{"invalid_grant", []int{54005, 70002, 70003, 50148}, Misconfigured},
	{"invalid_request", []int{50194, 90038, 500021, 500022}, Misconfigured},
	{"invalid_grant", []int{50196}, Temporary},
	{"interaction_required", []int{50196}, Temporary},
	{"temporarily_unavailable", []int{90033, 90006, 90024, 90090, 90055}, Temporary},
	// Numbers that nobody has heard of.
	{"invalid_grant", []int{99999}, NeedsSignIn},
	{"interaction_required", []int{99999}, NeedsSignIn},
	{"invalid_client", []int{99999}, Misconfigured},
	{"unauthorized_client", nil, Misconfigured},
	{"invalid_scope", nil, Misconfigured},
	{"something_new", nil, Misconfigured},
	{"server_error", nil, Temporary},
}

// provider is one that is never asked.
func aProvider(t *testing.T) *Microsoft {
	t.Helper()
	m, err := NewMicrosoft(MicrosoftConfig{Authority: "https://localhost/" + tenantDomain, ClientID: clientID})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClassesOfEntrasErrors(t *testing.T) {
	m := aProvider(t)
	for _, row := range f3 {
		for _, code := range append(row.codes, 0)[:max(len(row.codes), 1)] {
			a := answer{status: http.StatusBadRequest, understood: true, code: row.word, aadsts: []int{code}}
			e := m.failure(aliceAccount, a, nil)
			if e.Class != row.want {
				t.Errorf("%s %d: got %s, want %s", row.word, code, e.Class, row.want)
			}
			if e.Advice == "" || strings.ContainsAny(e.Advice, "{}\n") {
				t.Errorf("%s %d: got advice %q", row.word, code, e.Advice)
			}
		}
	}
}

func TestWordsDecideBeforeNumbers(t *testing.T) {
	for _, test := range []struct {
		name string
		a    answer
		want Class
	}{
		{"a person's number does not make a sign-in of a client's fault", answer{code: "invalid_client", aadsts: []int{50173}}, Misconfigured},
		{"a claims challenge", answer{code: "interaction_required", claims: true}, NeedsSignIn},
		{"consent by suberror", answer{code: "invalid_grant", suberror: "consent_required"}, Misconfigured},
		{"a device policy by suberror", answer{code: "interaction_required", suberror: "protection_policy_required"}, Misconfigured},
		{"a token that is bad by suberror", answer{code: "invalid_grant", suberror: "bad_token"}, NeedsSignIn},
		{"the first number that is known counts", answer{code: "invalid_grant", aadsts: []int{1, 53003}}, Misconfigured},
	} {
		if got, _ := classify(test.a, diagnosis.Subject{}); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNobodySignsInForAnApplication(t *testing.T) {
	a := answer{status: http.StatusBadRequest, understood: true, code: "invalid_grant", aadsts: []int{70000}}
	e := aProvider(t).failure(appAccount, a, nil)
	if e.Class != Misconfigured || strings.Contains(e.Advice, "enroll") {
		t.Errorf("got %s: %s, want it %s", e.Class, e.Advice, Misconfigured)
	}
}

func TestStatusDecidesWhereThereIsNoWord(t *testing.T) {
	for _, a := range []answer{
		{status: 200, understood: true}, {status: 302}, {status: 400}, {status: 403}, {status: 429}, {status: 500, code: "invalid_grant", understood: true},
		{status: 503}, {status: 429, code: "invalid_client", understood: true}, {},
	} {
		if e := aProvider(t).failure(aliceAccount, a, nil); e.Class != Temporary || e.Advice == "" {
			t.Errorf("%+v: got %s %q, want it temporary", a, e.Class, e.Advice)
		}
	}
}

func TestAdviceNamesTheApplication(t *testing.T) {
	a := answer{status: 401, understood: true, code: "invalid_client", aadsts: []int{7000222}}
	got := aProvider(t).failure(appAccount, a, nil).Error()
	want := "token for application of contoso: misconfigured: invalid_client AADSTS7000222: the client secret has expired; make another and put it " +
		"where provider contoso reads it; az ad app credential reset --id " + clientID + " --append"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
