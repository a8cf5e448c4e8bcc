package diagnosis

// imapRows are the answers of reference B.2, with the remedies of its section D.
var imapRows = []row{
	rowOf(`authenticated but not connected`, Diagnosis{
		Name: "not-connected",
		Cause: "the token is genuine, and the mailbox {mailbox} does not open: IMAP is switched off for the account, the token lacks the permission for IMAP, " +
			"the service principal has no right on the mailbox or was registered with a wrong object id, or there is no such mailbox",
		Fix:     "an Exchange administrator looks at these in turn; a new right counts after up to two hours",
		Command: "Get-CASMailbox {mailbox} | fl ImapEnabled",
		Short:   "Exchange Online does not open this mailbox: ask your administrator",
	}),
	rowOf(`AUTHENTICATE failed|LOGIN failed`, Diagnosis{
		Name:    "token-not-accepted",
		Cause:   "Exchange Online does not accept the token: it is for another audience or another tenant, or lacks the permission IMAP.AccessAsUser.All or IMAP.AccessAsApp",
		Fix:     "check the application's permissions and their consent",
		Command: "az ad app permission list --id {app}",
		Short:   "Exchange Online does not accept the gateway's token for this mailbox",
	}),
	rowOf(`Command received in Invalid state|Command Argument Error`, Diagnosis{
		Name:  "request-not-understood",
		Cause: "Exchange Online did not understand what it was sent",
		Fix:   "where it was the gateway's own sign-in, please report it with this line; otherwise it was the client's command",
		Short: "Exchange Online did not understand the command",
	}),
	rowOf(`AccessTokenExpired`, Diagnosis{
		Name:  "token-expired",
		Cause: "the session's token has expired, as it does about once an hour; the client signs in again by itself",
		Short: "The session has expired, sign in again",
	}),
	rowOf(`throttled|Suggested Backoff`, Diagnosis{
		Name:  "throttled",
		Cause: "Exchange Online wants a pause for the mailbox {mailbox}",
		Short: "Exchange Online wants a pause for this mailbox, try again later",
	}),
	rowOf(`Server Unavailable|Connection (is )?closed`, Diagnosis{
		Name:  "upstream-trouble",
		Cause: "Exchange Online is in trouble, or the mailbox {mailbox} has too many sessions",
		Short: "Exchange Online cannot open the mailbox at the moment, try again later",
	}),
}
