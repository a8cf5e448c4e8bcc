package diagnosis

// smtpRows are the replies of reference B.4, with the remedies of its section D. The more particular row comes first.
var smtpRows = []row{
	// Signing in.
	rowOf(`5\.7\.139.*disabled for the Tenant`, Diagnosis{
		Name:    "smtp-auth-off-tenant",
		Cause:   "SMTP AUTH is switched off in the tenant, for OAuth as well, and the mailbox {mailbox} follows it",
		Fix:     "an Exchange administrator allows it for this mailbox",
		Command: "Set-CASMailbox {mailbox} -SmtpClientAuthenticationDisabled $false",
		Short:   "SMTP AUTH is off in the tenant: an administrator allows it with Set-CASMailbox",
	}),
	rowOf(`5\.7\.139.*disabled for the Mailbox`, Diagnosis{
		Name:    "smtp-auth-off-mailbox",
		Cause:   "SMTP AUTH is switched off for the mailbox {mailbox}",
		Fix:     "an Exchange administrator allows it",
		Command: "Set-CASMailbox {mailbox} -SmtpClientAuthenticationDisabled $false",
		Short:   "SMTP AUTH is off for this mailbox: an administrator allows it with Set-CASMailbox",
	}),
	rowOf(`5\.7\.139.*did not meet the criteria`, Diagnosis{
		Name:    "conditional-access",
		Cause:   "a Conditional Access policy of the tenant does not let the gateway in",
		Fix:     "in Entra's sign-in log find which policy, and exclude the application or the gateway's address from it",
		Command: signInLog,
		Short:   "A Conditional Access policy of the tenant does not let the gateway in",
	}),
	rowOf(`5\.7\.139.*security defaults`, Diagnosis{
		Name:    "security-defaults",
		Cause:   "the tenant's security defaults do not let the gateway in",
		Fix:     "an administrator replaces them by Conditional Access policies that do, or sees to it that the sign-in uses OAuth",
		Command: "az rest --url https://graph.microsoft.com/v1.0/policies/identitySecurityDefaultsEnforcementPolicy",
		Short:   "The tenant's security defaults do not let the gateway in",
	}),
	rowOf(`5\.7\.139.*basic authentication|5\.7\.139.*(credentials were incorrect|federated STS)|5\.7\.30\b`, Diagnosis{
		Name:  "basic-authentication",
		Cause: "Exchange Online took the sign-in for a password, which it no longer accepts",
		Fix:   "check that endpoints.smtp of the provider is Exchange's submission server and no relay before it",
		Short: "Exchange Online took the sign-in for a password and refused it",
	}),
	rowOf(`^5\d\d 5\.7\.139`, Diagnosis{
		Name:    "sign-in-blocked",
		Cause:   "the tenant does not let the gateway sign in for the mailbox {mailbox}",
		Fix:     "an administrator looks at Entra's sign-in log",
		Command: signInLog,
		Short:   "The tenant does not let the gateway in: ask your administrator",
	}),
	rowOf(`^535 5\.7\.3\b`, Diagnosis{
		Name:    "token-not-accepted",
		Cause:   "Exchange Online does not accept the token for the mailbox {mailbox}: there is no such mailbox, the service principal was registered with another object id than the enterprise application's, or it has no right on the mailbox",
		Fix:     "an Exchange administrator checks New-ServicePrincipal and gives the right; it counts after up to two hours",
		Command: "Add-MailboxPermission -Identity {mailbox} -User {principal} -AccessRights FullAccess",
		Short:   "Exchange Online does not accept the gateway's token for this mailbox",
	}),
	rowOf(`^501 5\.5\.124`, Diagnosis{
		Name:    "mailbox-address-invalid",
		Cause:   "Exchange Online does not take {mailbox} for a mailbox's address",
		Fix:     "correct mailbox or account of the user in the configuration",
		Command: "Get-Mailbox {mailbox} | fl PrimarySmtpAddress,EmailAddresses",
		Short:   "Exchange Online does not know this mailbox: check the gateway's configuration",
	}),
	rowOf(`^504 5\.7\.4\b|^530 5\.7\.0\b`, Diagnosis{
		Name:  "not-the-submission-server",
		Cause: "the host does not take the gateway's sign-in: it knows no XOAUTH2, or something between takes STARTTLS out",
		Fix:   "check endpoints.smtp of the provider, and that no firewall inspects SMTP; smtp.office365.com:587 is the usual one",
		Short: "The gateway's upstream does not take its sign-in: ask your administrator",
	}),
	rowOf(`4\.7\.(0|66) TLS 1\.0 and 1\.1`, Diagnosis{
		Name:  "upstream-old-tls",
		Cause: "something between the gateway and Exchange Online lowers TLS to 1.0 or 1.1; the gateway itself offers 1.2 and 1.3",
		Fix:   "take the gateway's connections out of TLS inspection",
		Short: "Something on the way to Exchange Online lowers TLS: ask your administrator",
	}),
	rowOf(`5\.7\.57\b`, Diagnosis{
		Name:  "not-signed-in",
		Cause: "Exchange Online does not take the connection for signed in: its sign-in was lost, or the host is no submission server",
		Fix:   "check endpoints.smtp of the provider; smtp.office365.com:587 is the usual one",
		Short: "Exchange Online does not take the gateway for signed in",
	}),

	// Sending as somebody.
	rowOf(`SendAsDenied|5\.2\.252\b|5\.7\.60\b`, Diagnosis{
		Name:    "send-as-denied",
		Cause:   "the mailbox {mailbox} may not send as {sender}",
		Fix:     "set send: {from: rewrite} in the policy, so that From becomes the mailbox; or an Exchange administrator gives Send As",
		Command: "Add-RecipientPermission {sender} -Trustee {mailbox} -AccessRights SendAs -Confirm:$false",
		Short:   "The sender address must be {mailbox}",
	}),
	rowOf(`5\.1\.20\b|Multiple From addresses`, Diagnosis{
		Name:  "many-senders",
		Cause: "the message has several addresses in From and none in Sender",
		Fix:   "name one sender on the device, or set send: {from: rewrite} in the policy",
		Short: "The message names more than one sender",
	}),
	rowOf(`5\.7\.512\b`, Diagnosis{
		Name:  "from-invalid",
		Cause: "the message has no From that is an address",
		Fix:   "set the sender address on the device, or send: {from: rewrite} in the policy",
		Short: "The sender address of the message is missing or wrong",
	}),

	// Pace and quotas; time mends them.
	rowOf(`5\.2\.12[12]\b|recipient thread limit`, Diagnosis{
		Name:  "recipient-busy",
		Cause: "the recipient's mailbox gets more mail than it may in an hour",
		Short: "The recipient's mailbox gets too much mail at the moment",
	}),
	rowOf(`^432 .*(sender thread limit|concurrent connections)|concurrent connections has exceeded`, Diagnosis{
		Name:  "too-many-connections",
		Cause: "more than three connections send for the mailbox {mailbox}; programs beside the gateway count too",
		Short: "Too many connections send for this mailbox, try again later",
	}),
	rowOf(`^421 .*submission rate`, Diagnosis{
		Name:  "too-fast",
		Cause: "more than 30 messages a minute were sent for the mailbox {mailbox}",
		Short: "Too many messages in a minute for this mailbox, try again later",
	}),
	rowOf(`SubmissionQuotaExceeded|Submission quota exceeded|5\.1\.90\b`, Diagnosis{
		Name:    "daily-recipients",
		Cause:   "the mailbox {mailbox} has sent to as many recipients as it may in 24 hours: 10,000, or what the tenant's outbound spam policy says",
		Fix:     "wait, or spread the devices over more mailboxes",
		Command: "Get-HostedOutboundSpamFilterPolicy | fl Name,RecipientLimitPerDay",
		Short:   "This mailbox has reached its recipients for the day, try again later",
	}),
	rowOf(`5\.7\.23[23]\b`, Diagnosis{
		Name:  "tenant-recipients",
		Cause: "the tenant has sent to as many external recipients as its licences allow in 24 hours",
		Fix:   "wait, or see the Exchange admin center: Reports, Mail flow, Tenant Outbound External Recipients",
		Short: "The tenant has reached its external recipients for the day, try again later",
	}),
	rowOf(`4\.7\.(5\d\d|6\d\d|8[5-9]\d)\b`, Diagnosis{
		Name:  "reputation",
		Cause: "Exchange Online slows down the gateway's address for what it has sent lately",
		Fix:   "look for a device that sends junk; a mailbox or address with a bad name recovers in hours",
		Short: "Exchange Online slows the gateway down, try again later",
	}),
	rowOf(`^4\d\d 4\.(3\.2|4\.[12]|7\.0)\b|^454 `, Diagnosis{
		Name:  "upstream-trouble",
		Cause: "Exchange Online is in trouble or has closed an idle connection",
		Short: "Exchange Online cannot take it at the moment, try again later",
	}),

	// The mailbox and the tenant.
	rowOf(`5\.2\.2 mailbox full|ShutoffQuotaExceeded|MapiExceptionQuotaExceeded`, Diagnosis{
		Name:    "mailbox-full",
		Cause:   "the mailbox {mailbox} is full, so that nothing can be kept in its Sent Items",
		Fix:     "empty it, or let Exchange delete what is old",
		Command: "Get-MailboxStatistics {mailbox} | fl TotalItemSize,StorageLimitStatus",
		Short:   "The sending mailbox is full: ask your administrator",
	}),
	rowOf(`5\.1\.8\b.*bad outbound sender|AS\(42004\)`, Diagnosis{
		Name:    "mailbox-blocked",
		Cause:   "Exchange Online has blocked the mailbox {mailbox} for sending spam",
		Fix:     "find what sent it, then an administrator releases the mailbox",
		Command: "Remove-BlockedSenderAddress -SenderAddress {mailbox}",
		Short:   "This mailbox is blocked for sending spam: ask your administrator",
	}),
	rowOf(`5\.7\.(705|708|750)\b`, Diagnosis{
		Name:  "tenant-blocked",
		Cause: "Exchange Online does not take mail from this tenant or this address any more",
		Fix:   "an administrator opens a support request with Microsoft, with the reply",
		Short: "Exchange Online takes no mail from this tenant: ask your administrator",
	}),

	// The message and its recipients.
	rowOf(`5\.3\.4\b|5\.2\.3\b|^552 `, Diagnosis{
		Name:    "too-big",
		Cause:   "the message is larger than the mailbox {mailbox} may send; an attachment grows by a third on its way",
		Fix:     "scan with a lower resolution, or an Exchange administrator raises the limit, up to 150 MB",
		Command: "Set-Mailbox {mailbox} -MaxSendSize 150MB",
		Short:   "The message is too large: scan with a lower resolution",
	}),
	rowOf(`4\.5\.3\b|5\.5\.3\b|RecipLimit`, Diagnosis{
		Name:    "too-many-recipients",
		Cause:   "the message has more recipients than the mailbox {mailbox} may name in one",
		Fix:     "send to a distribution list, or an Exchange administrator raises the limit, up to 1000",
		Command: "Set-Mailbox {mailbox} -RecipientLimits 1000",
		Short:   "Too many recipients in one message",
	}),
	rowOf(`5\.1\.10\b|RecipientNotFound|5\.1\.1\b`, Diagnosis{
		Name:  "no-such-recipient",
		Cause: "there is no such recipient",
		Fix:   "correct the address on the device",
		Short: "There is no such recipient: check the address",
	}),
	rowOf(`5\.6\.11\b`, Diagnosis{
		Name:  "line-ends",
		Cause: "the message has lines that do not end in CRLF",
		Fix:   "use a listener with profile: ancient, which repairs them",
		Short: "The message has wrong line ends: ask your administrator for another listener",
	}),
	rowOf(`5\.7\.520\b`, Diagnosis{
		Name:    "forwarding",
		Cause:   "the tenant does not allow mail to be forwarded to the outside",
		Fix:     "an administrator looks at the outbound spam policy",
		Command: "Get-HostedOutboundSpamFilterPolicy | fl Name,AutoForwardingMode",
		Short:   "The tenant does not allow forwarding to the outside",
	}),
	rowOf(`5\.7\.6[48]\b`, Diagnosis{
		Name:  "no-relay",
		Cause: "the host is the tenant's door for incoming mail and no submission server",
		Fix:   "set endpoints.smtp of the provider to the submission server; smtp.office365.com:587 is the usual one",
		Short: "The gateway sends to the wrong host: ask your administrator",
	}),
}
