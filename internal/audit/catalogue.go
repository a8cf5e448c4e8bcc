package audit

//go:generate go run ./eventpage ../..

// Catalogue has an event of every kind that there is, in the order of docs/events.md, which is made from it. A test holds it
// against the types of this package, and against the code that records them.
func Catalogue() []Event {
	return []Event{
		SignIn{}, SignInsRefused{}, SessionBegin{}, SessionEnd{}, Message{}, MessageDelivered{}, MessageBounced{},
		MessageDelayed{}, MessageHeld{}, MessageReleased{}, MessageDropped{}, TokenRefreshed{}, TokenRefused{}, AccountEnrolled{},
		AccountRechecked{}, EnrolmentRefused{}, PasswordIssued{}, PasswordRenewed{}, PasswordRevoked{}, LoginLocked{}, LoginUnlocked{}, SessionsCut{},
		PortalSignIn{}, PortalSignOut{}, PortalRefused{}, FactorEnrolled{}, FactorRenamed{}, FactorRemoved{},
		FactorProven{}, FactorRefused{}, FactorsReset{}, EventsExported{}, LogRotated{}, LogContinued{}, LogPruned{}, LogLevelChanged{},
		GatewayStarted{}, GatewayStopped{}, GatewayUpgrade{}, GatewayUpgradeFailed{}, ConfigurationChanged{}, ConfigurationRefused{}, LockdownBegun{}, LockdownLifted{}, TokensForgotten{},
		KeysRotated{}, KeysResealed{}, KeysRetired{}, BackupMade{}, RestoredReleased{},
		CertificateShown{}, CertificateRefused{}, CertificateExpiring{}, PrivateCACreated{},
	}
}
