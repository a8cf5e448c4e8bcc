package setup

import "text/template"

// The ids of permissions are those of reference A.2; that of SMTP.SendAsApp has one source only, so the tenant is asked.
var tenantText = template.Must(template.New("").Parse(`# 1. Azure CLI, in a Unix shell, as an administrator of the tenant (az login)
{{- if .NoClient}}
APP=$(az ad app create --display-name Postern --sign-in-audience AzureADMyOrg --query appId -o tsv)
az ad sp create --id $APP
echo "client_id: $APP"                       # put it into the configuration
{{- else}}
APP={{.ClientID}}
az ad sp create --id $APP                    # says so if it is there already
{{- end}}
{{- if .SecretFile}}
az ad app credential reset --id $APP --append --query password -o tsv > {{.SecretFile}}; chmod 600 {{.SecretFile}}
{{- else}}
az ad app credential reset --id $APP --cert @app.crt --append
{{- end}}
{{- if .Mailbox}}
E=00000002-0000-0ff1-ce00-000000000000       # Office 365 Exchange Online
SEND=$(az ad sp show --id $E --query "appRoles[?value=='SMTP.SendAsApp'].id" -o tsv)
az ad app permission add --id $APP --api $E --api-permissions $SEND=Role
{{- end}}
{{- if .People}}
G=00000003-0000-0000-c000-000000000000       # Microsoft Graph: IMAP.AccessAsUser.All, SMTP.Send, offline_access, openid, profile
az ad app permission add --id $APP --api $G --api-permissions \
  652390e4-393a-48de-9484-05f9b1212954=Scope 258f6531-6087-4cc4-bb90-092c5fb3ed3f=Scope \
  7427e0e9-2fba-42fe-b0c0-848c9e6a8182=Scope 37f7f235-527c-4136-accd-4a02d197296e=Scope \
  14dad69e-099b-42c9-810b-d002981feec1=Scope
az ad app update --id $APP --web-redirect-uris https://{{.Domain}}:{{.PortalPort}}/signin/{{.Provider}}/callback
{{- end}}
az ad app permission admin-consent --id $APP
{{- if .Mailbox}}
az ad sp show --id $APP --query id -o tsv    # the object id for $Oid below: the enterprise application's
{{- end}}
{{- if .Context}}

# The authentication context {{.Context}}, and the policy that guards it. Exclude your emergency account from the policy.
az rest --method patch --url https://graph.microsoft.com/v1.0/identity/conditionalAccess/authenticationContextClassReferences/{{.Context}} \
  --body '{"displayName": "Postern", "description": "MFA for app passwords", "isAvailable": true}'
az rest --method post --url https://graph.microsoft.com/v1.0/identity/conditionalAccess/policies --body '{"displayName": "Postern: MFA for app passwords",
  "state": "enabled", "conditions": {"users": {"includeUsers": ["All"]}, "applications": {"includeAuthenticationContextClassReferences": ["{{.Context}}"]}},
  "grantControls": {"operator": "OR", "builtInControls": ["mfa"]}}'
{{- end}}
{{- if .Mailbox}}

# 2. Exchange Online PowerShell
Install-Module ExchangeOnlineManagement
Connect-ExchangeOnline
$App = '{{if .NoClient}}the appId of step 1{{else}}{{.ClientID}}{{end}}'
$Oid = 'the object id of step 1'
New-ServicePrincipal -AppId $App -ObjectId $Oid -DisplayName Postern
Add-MailboxPermission -Identity {{.Mailbox}} -User $Oid -AccessRights FullAccess
Set-CASMailbox {{.Mailbox}} -SmtpClientAuthenticationDisabled $false
{{- end}}
`))

// Commands gives the commands that make the tenant fit the configuration: for the Azure CLI and for Exchange Online PowerShell. The
// answers have been completed.
func (a *Answers) Commands() (string, error) { return fill(tenantText, a) }
