package diagnosis

import "strings"

// Mender is who can mend what Entra ID refuses.
type Mender string

const (
	// Person: the person behind the account signs in again.
	Person Mender = "person"
	// Administrator: an administrator of the tenant changes something there.
	Administrator Mender = "administrator"
	// Keeper: whoever keeps the gateway's configuration, or the application's registration, corrects it.
	Keeper Mender = "keeper"
	// Time: nobody; it is asked again later.
	Time Mender = "time"
)

// Entra translates an AADSTS number, and says who can mend it. What is known of numbers that are not in the table is known
// by the error words of OAuth alone, and package auth/token has those.
func Entra(number int, about Subject) (Diagnosis, Mender, bool) {
	r, known := entraRows[number]
	if !known {
		return Diagnosis{}, "", false
	}
	return r.about(about), r.mender, true
}

// entraRow is a row of Entra's table.
type entraRow struct {
	mender Mender
	Diagnosis
}

// Commands that several rows share.
const (
	enroll      = "postern user enroll {account}"
	consent     = "az ad app permission admin-consent --id {app}"
	permissions = "az ad app permission list --id {app}"
	newSecret   = "az ad app credential reset --id {app} --append"
	uploadCert  = "az ad app credential reset --id {app} --cert @app.crt --append"
	// signInLog lists the last refusals of the application's sign-in log. Quoted for a Unix shell.
	signInLog = "az rest --url 'https://graph.microsoft.com/v1.0/auditLogs/signIns?$filter=appId%20eq%20%27{app}%27&$top=5'"
)

// excludeFromPolicy is what mends a policy that no sign-in of a gateway can satisfy: it is no managed device.
const excludeFromPolicy = "in Entra's sign-in log an administrator finds which policy, and excludes the application {app} or the gateway's address from it"

// entraGroup is rows that differ in nothing but the number.
type entraGroup struct {
	numbers []int
	mender  Mender
	Diagnosis
}

// entraRows are the numbers of reference F.3, with the commands of its section D.
var entraRows = tableOf(entraPerson, entraTenant, entraKeeper, entraTime)

func tableOf(parts ...[]entraGroup) map[int]entraRow {
	table := make(map[int]entraRow)
	for _, groups := range parts {
		for _, g := range groups {
			for _, number := range g.numbers {
				d := g.Diagnosis
				if d.Short == "" {
					d.Short = strings.ToUpper(d.Cause[:1]) + d.Cause[1:]
				}
				table[number] = entraRow{g.mender, d}
			}
		}
	}
	return table
}

// entraPerson is what the person behind an account mends.
var entraPerson = []entraGroup{
	{[]int{50072, 50074, 50076, 50078, 50079}, Person, Diagnosis{
		Name: "mfa-wanted", Cause: "multi-factor authentication is asked for", Fix: "the person signs in again", Command: enroll}},
	{[]int{50158}, Person, Diagnosis{
		Name: "external-mfa-wanted", Cause: "the second factor of another provider is asked for", Fix: "the person signs in again", Command: enroll}},
	{[]int{70000}, Person, Diagnosis{
		Name: "sign-in-invalid", Cause: "the kept sign-in is no longer valid", Fix: "the person signs in again", Command: enroll}},
	{[]int{70008, 700082, 700084}, Person, Diagnosis{
		Name: "sign-in-too-old", Cause: "the kept sign-in is too old, or was not used for 90 days", Fix: "the person signs in again", Command: enroll}},
	{[]int{70043}, Person, Diagnosis{
		Name: "sign-in-frequency", Cause: "the tenant's sign-in frequency (Conditional Access, Session) asks for a new sign-in",
		Fix: "the person signs in again, or an administrator excludes the application {app} from that policy", Command: enroll}},
	{[]int{50132, 50133, 50173}, Person, Diagnosis{
		Name: "sign-in-revoked", Cause: "the password was changed or the sessions were revoked", Fix: "the person signs in again", Command: enroll}},
	{[]int{50055, 50144}, Person, Diagnosis{
		Name: "password-expired", Cause: "the password has expired", Fix: "the person changes it, and then signs in again", Command: enroll}},
	{[]int{50126}, Person, Diagnosis{
		Name: "password-wrong", Cause: "the password was wrong", Fix: "the person signs in again", Command: enroll}},
	{[]int{70018, 70019}, Person, Diagnosis{
		Name: "code-too-late", Cause: "the code was not used in time", Fix: "the person signs in again", Command: enroll}},
	{[]int{50057}, Person, Diagnosis{
		Name: "user-disabled", Cause: "the user {account} is disabled",
		Fix: "an administrator enables the user, and then the person signs in again: postern user enroll {account}", Command: "az ad user update --id {account} --account-enabled true"}},
	{[]int{50053}, Person, Diagnosis{
		Name: "user-locked", Cause: "the user {account} is locked, or the gateway's address has a bad name at Entra",
		Fix: "an administrator looks at the user in Entra's sign-in log, and then the person signs in again: postern user enroll {account}", Command: signInLog}},
	{[]int{50020, 50034}, Person, Diagnosis{
		Name: "user-unknown", Cause: "the tenant {tenant} does not know the user {account}",
		Fix: "compare account with the user principal name, and then the person signs in again: postern user enroll {account}", Command: "az ad user show --id {account}"}},
}

// entraTenant is what an administrator of the tenant mends.
var entraTenant = []entraGroup{
	{[]int{50005, 50097, 50131, 53000, 53001, 53002, 530003}, Administrator, Diagnosis{
		Name: "device-wanted", Cause: "a Conditional Access policy wants a managed device, which a gateway never is", Fix: excludeFromPolicy, Command: signInLog}},
	{[]int{53003}, Administrator, Diagnosis{
		Name:  "conditional-access",
		Cause: "blocked by Conditional Access; where the sign-in was by a device code, by the policy \"Block device code flow\"",
		Fix:   excludeFromPolicy, Command: signInLog,
		Short: "A Conditional Access policy of the tenant does not let the gateway in"}},
	{[]int{530032}, Administrator, Diagnosis{
		Name: "tenant-policy", Cause: "blocked by a security policy of the tenant", Fix: excludeFromPolicy, Command: signInLog}},
	{[]int{530034, 53011}, Administrator, Diagnosis{
		Name: "risk", Cause: "Entra holds the user {account} for compromised", Short: "Entra holds the account for compromised: ask your administrator",
		Fix: "an administrator looks into it (Entra, Risky users) and dismisses the risk", Command: "az rest --url 'https://graph.microsoft.com/v1.0/identityProtection/riskyUsers'"}},
	{[]int{530035}, Administrator, Diagnosis{
		Name: "security-defaults", Cause: "blocked by the tenant's security defaults",
		Fix:     "an administrator replaces them by Conditional Access policies that let the application {app} in",
		Command: "az rest --url https://graph.microsoft.com/v1.0/policies/identitySecurityDefaultsEnforcementPolicy"}},
	{[]int{65001, 65004, 90094, 90095}, Administrator, Diagnosis{
		Name: "no-consent", Cause: "the application's permissions are not consented to", Fix: "an administrator consents", Command: consent}},
	{[]int{650052}, Administrator, Diagnosis{
		Name: "service-not-subscribed", Cause: "the tenant has no subscription for the service that was asked for",
		Fix: "check the licences, and cloud of provider {provider}; then consent again", Command: consent}},
	{[]int{650056, 650057}, Administrator, Diagnosis{
		Name: "permissions-not-listed", Cause: "the application's registration does not list the permission that was asked for",
		Fix: "compare the list with docs/exchange-online.md, add what is missing, and consent: " + consent, Command: permissions}},
	{[]int{50105}, Administrator, Diagnosis{
		Name: "not-assigned", Cause: "the user {account} is not assigned to the application", Fix: "assign the user, or switch \"Assignment required\" off",
		Command: "az ad sp update --id {app} --set appRoleAssignmentRequired=false"}},
	{[]int{500011, 500014}, Administrator, Diagnosis{
		Name: "no-exchange", Cause: "the tenant has no Exchange Online, or it is switched off", Fix: "check the licences, and cloud of provider {provider}",
		Command: "az ad sp show --id 00000002-0000-0ff1-ce00-000000000000 --query accountEnabled"}},
	{[]int{501051}, Administrator, Diagnosis{
		Name: "no-app-role", Cause: "the application has no role on Office 365 Exchange Online",
		Fix: "add IMAP.AccessAsApp or SMTP.SendAsApp to its permissions, then consent", Command: consent}},
	{[]int{500021, 500022}, Administrator, Diagnosis{
		Name: "tenant-restrictions", Cause: "a network proxy restricts which tenants can be reached (tenant restrictions)", Fix: "whoever keeps the proxy allows {tenant}"}},
}

// entraKeeper is what is wrong in the gateway's configuration or the application's registration.
var entraKeeper = []entraGroup{
	{[]int{7000215}, Keeper, Diagnosis{
		Name: "secret-wrong", Cause: "the client secret is wrong (its value is needed, not its id)",
		Fix: "make another and put it where provider {provider} reads it", Command: newSecret}},
	{[]int{7000222}, Keeper, Diagnosis{
		Name: "secret-expired", Cause: "the client secret has expired", Fix: "make another and put it where provider {provider} reads it", Command: newSecret}},
	{[]int{7000216}, Keeper, Diagnosis{
		Name: "secret-missing", Cause: "the request had no credential of the application", Fix: "set client_certificate_file or client_secret_file of provider {provider}",
		Command: newSecret}},
	{[]int{700027, 700030}, Keeper, Diagnosis{
		Name: "certificate-unknown", Cause: "Entra does not know the client certificate, or it has expired",
		Fix: "upload the one that provider {provider} names (its certificate without the key, app.crt)", Command: uploadCert}},
	{[]int{70021, 700211, 700212, 700213, 7002137, 7002138}, Keeper, Diagnosis{
		Name: "federation-untrusted", Cause: "Entra does not trust the token that provider {provider} shows for the application",
		Short: "Entra does not trust the token that the gateway shows for the application",
		Fix:   "compare issuer, subject and audience, letter by letter", Command: "az ad app federated-credential list --id {app}"}},
	{[]int{700024}, Keeper, Diagnosis{
		Name: "clock", Cause: "the time in the application's assertion is not right", Fix: "set this machine's clock", Command: "timedatectl status"}},
	{[]int{7000218}, Keeper, Diagnosis{
		Name: "public-flows-off", Cause: "public client flows are off", Fix: "allow them; the device code needs it", Command: "az ad app update --id {app} --is-fallback-public-client true"}},
	{[]int{700025}, Keeper, Diagnosis{
		Name: "public-client", Cause: "the application is a public client and may not send a secret",
		Fix: "remove the secret of provider {provider}, or register a confidential client", Command: "az ad app update --id {app} --is-fallback-public-client false"}},
	{[]int{70001, 700011, 700016, 700021}, Keeper, Diagnosis{
		Name: "application-unknown", Cause: "the tenant {tenant} does not know the application {app}", Short: "The tenant does not know the gateway's application",
		Fix: "check client_id and tenant of provider {provider}; where they are right, the application has no service principal yet", Command: "az ad sp create --id {app}"}},
	{[]int{7000112}, Keeper, Diagnosis{
		Name: "application-disabled", Cause: "the application is disabled in the tenant", Fix: "enable it", Command: "az ad sp update --id {app} --set accountEnabled=true"}},
	{[]int{50059, 50128, 90002, 900023}, Keeper, Diagnosis{
		Name: "tenant-unknown", Cause: "there is no tenant {tenant}", Short: "Entra does not know the tenant", Fix: "check tenant and cloud of provider {provider}",
		Command: "az account show --query tenantId"}},
	{[]int{90038}, Keeper, Diagnosis{
		Name: "other-cloud", Cause: "the tenant {tenant} is in another national cloud", Short: "The tenant is in another national cloud", Fix: "set cloud of provider {provider}"}},
	{[]int{50194}, Keeper, Diagnosis{
		Name: "single-tenant", Cause: "the application is for its own tenant only", Fix: "set tenant of provider {provider} to that one", Command: "az account show --query tenantId"}},
	{[]int{28000, 70011, 700022, 1002012}, Keeper, Diagnosis{
		Name: "scope-unknown", Cause: "Entra does not know the permission that was asked for", Fix: "check endpoints.resource and cloud of provider {provider}"}},
	{[]int{50011, 50148, 54005, 70002, 70003, 90014, 900144, 900561, 9002313}, Keeper, Diagnosis{
		Name: "request-not-understood", Cause: "Entra did not understand the gateway's request", Fix: "please report it with the ids of this line; for AADSTS50011, first compare the redirect URI of the portal with the registration's",
		Command: "az ad app show --id {app} --query web.redirectUris"}},
}

// entraTime is what nobody has to mend.
var entraTime = []entraGroup{
	{[]int{50196}, Time, Diagnosis{
		Name: "loop", Cause: "Entra saw the same request too often; it is asked again later"}},
	{[]int{90006, 90024, 90033, 90055, 90090}, Time, Diagnosis{
		Name: "entra-trouble", Cause: "Entra is busy or in trouble; it is asked again later"}},
}
