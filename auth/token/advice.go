package token

// rule is what is known of an AADSTS number: who can mend it and how, in one line. In the advice {app} stands for the
// client id, {account} for the account's name, {provider} and {tenant} for those of the configuration.
type rule struct {
	class  Class
	advice string
}

const (
	adviceEnroll  = "the person signs in again: postern user enroll {account}"
	adviceConsent = "the application's permissions are not consented to: an administrator runs: az ad app permission admin-consent --id {app}"
	// adviceConditionalAccess is for policies that no sign-in here can satisfy: a gateway is no managed device.
	adviceConditionalAccess = "a Conditional Access policy refuses the gateway: in Entra's sign-in log find which, and exclude the application " +
		"{app} or the gateway's address from it"
	adviceUser = "an administrator looks at the user {account} in Entra; then "
	adviceBug  = "Entra did not understand the gateway's request: please report it with the ids of this line"
)

// rules maps AADSTS numbers to what is known of them (reference F.3; commands from its section D).
var rules = func() map[int]rule {
	table := make(map[int]rule)
	for _, group := range []struct {
		class  Class
		advice string
		codes  []int
	}{
		// The person.
		{NeedsSignIn, "multi-factor authentication is asked for: " + adviceEnroll, []int{50072, 50074, 50076, 50078, 50079, 50158}},
		{NeedsSignIn, "the kept sign-in is no longer valid: " + adviceEnroll, []int{70000}},
		{NeedsSignIn, "the kept sign-in is too old, or was not used for 90 days: " + adviceEnroll, []int{70008, 700082, 700084}},
		{NeedsSignIn, "the tenant's sign-in frequency asks for a new sign-in (Conditional Access, Session): " + adviceEnroll, []int{70043}},
		{NeedsSignIn, "the password was changed or the sessions were revoked: " + adviceEnroll, []int{50132, 50133, 50173}},
		{NeedsSignIn, "the password has expired: it is changed first, then " + adviceEnroll, []int{50055, 50144}},
		{NeedsSignIn, "the user is disabled: " + adviceUser + adviceEnroll, []int{50057}},
		{NeedsSignIn, "the user is locked, or the gateway's address has a bad name: " + adviceUser + adviceEnroll, []int{50053}},
		{NeedsSignIn, "the tenant does not know the user: compare account {account} with its user principal name, then " + adviceEnroll,
			[]int{50020, 50034}},
		{NeedsSignIn, "the password was wrong: " + adviceEnroll, []int{50126}},
		{NeedsSignIn, "the code was not used in time: " + adviceEnroll, []int{70018, 70019}},

		// An administrator of the tenant.
		{Misconfigured, adviceConditionalAccess, []int{50005, 50097, 50131, 53000, 53001, 53002, 53011, 530003, 530032, 530034, 530035}},
		{Misconfigured, "blocked by Conditional Access; where the sign-in was by a device code, by the policy \"Block device code flow\": in Entra's " +
			"sign-in log find which policy, and exclude the application {app} from it", []int{53003}},
		{Misconfigured, adviceConsent, []int{65001, 65004, 90094, 90095}},
		{Misconfigured, "the application's permissions do not fit the tenant: az ad app permission list --id {app}, then " +
			"az ad app permission admin-consent --id {app}", []int{650052, 650056, 650057}},
		{Misconfigured, "the user {account} is not assigned to the application: assign it, or switch \"Assignment required\" off: " +
			"az ad sp update --id {app} --set appRoleAssignmentRequired=false", []int{50105}},
		{Misconfigured, "the tenant has no Exchange Online, or it is switched off: check the licences, and cloud of provider {provider}",
			[]int{500011, 500014}},
		{Misconfigured, "the application has no role on Office 365 Exchange Online: add IMAP.AccessAsApp or SMTP.SendAsApp, then " +
			"az ad app permission admin-consent --id {app}", []int{501051}},
		{Misconfigured, "a network proxy restricts which tenants can be reached (tenant restrictions): allow {tenant}", []int{500021, 500022}},

		// Whoever keeps the configuration.
		{Misconfigured, "the client secret is wrong (its value is needed, not its id): make another and put it where provider {provider} reads it: " +
			"az ad app credential reset --id {app}", []int{7000215}},
		{Misconfigured, "the client secret has expired: make another and put it where provider {provider} reads it: " +
			"az ad app credential reset --id {app}", []int{7000222}},
		{Misconfigured, "Entra does not know the client certificate, or it has expired: upload the one that provider {provider} names: " +
			"az ad app credential reset --id {app} --cert @app.pem --append", []int{700027, 700030}},
		{Misconfigured, "Entra does not trust the token that provider {provider} shows for the application: compare issuer, subject and audience, letter " +
			"by letter, with: az ad app federated-credential list --id {app}", []int{70021, 700211, 700212, 700213, 7002137, 7002138}},
		{Misconfigured, "the time in the application's assertion is not right: check this machine's clock", []int{700024}},
		{Misconfigured, "public client flows are off: az ad app update --id {app} --is-fallback-public-client true", []int{7000218}},
		{Misconfigured, "the application is a public client and may not send a secret: remove the secret of provider {provider}, or register a " +
			"confidential client", []int{700025}},
		{Misconfigured, "the tenant {tenant} does not know the application: check client_id {app} of provider {provider}, then " +
			"az ad sp create --id {app}", []int{70001, 700011, 700016, 700021}},
		{Misconfigured, "the application is disabled in the tenant: az ad sp update --id {app} --set accountEnabled=true", []int{7000112}},
		{Misconfigured, "there is no tenant {tenant}: check tenant and cloud of provider {provider}", []int{50059, 50128, 90002, 900023}},
		{Misconfigured, "the tenant {tenant} is in another national cloud: set cloud of provider {provider}", []int{90038}},
		{Misconfigured, "the application is for its own tenant only: set tenant of provider {provider} to that one", []int{50194}},
		{Misconfigured, "Entra does not know the permission that was asked for: check endpoints.resource and cloud of provider {provider}",
			[]int{28000, 70011, 700022, 1002012}},
		{Misconfigured, adviceBug, []int{50011, 50148, 54005, 70002, 70003, 90014, 900144, 900561, 9002313}},

		// Time.
		{Temporary, "Entra saw the same request too often; it is asked again later", []int{50196}},
		{Temporary, "Entra is busy or in trouble; it is asked again later", []int{90006, 90024, 90033, 90055, 90090}},
	} {
		for _, code := range group.codes {
			table[code] = rule{group.class, group.advice}
		}
	}
	return table
}()
