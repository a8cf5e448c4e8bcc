package audit

// Catalogue has an event of every kind that there is. A test holds it against the types of this package.
func Catalogue() []Event {
	return []Event{
		SignIn{}, SignInsRefused{}, SessionBegin{}, SessionEnd{}, Message{}, MessageDelivered{}, MessageBounced{},
		MessageDelayed{}, MessageHeld{}, MessageReleased{}, MessageDropped{}, TokenRefreshed{}, TokenRefused{}, AccountEnrolled{},
		AccountRechecked{}, EnrolmentRefused{}, PasswordIssued{}, PasswordRenewed{}, PasswordRevoked{}, LoginLocked{}, LoginUnlocked{}, SessionsCut{},
		PortalSignIn{}, PortalSignOut{}, PortalRefused{}, FactorEnrolled{}, FactorRenamed{}, FactorRemoved{},
		FactorProven{}, FactorRefused{}, FactorsReset{}, EventsExported{}, LogRotated{}, LogContinued{}, LogPruned{}, GatewayStarted{}, GatewayStopped{},
		ConfigurationChanged{}, ConfigurationRefused{}, LockdownBegun{}, LockdownLifted{}, TokensForgotten{}, KeysRotated{}, KeysResealed{}, KeysRetired{}, BackupMade{}, RestoredReleased{},
		ConfigurationChanged{}, ConfigurationRefused{}, LockdownBegun{}, LockdownLifted{}, TokensForgotten{},
		FactorProven{}, FactorRefused{}, FactorsReset{}, EventsExported{}, CertificateShown{}, CertificateRefused{},
		CertificateExpiring{}, GatewayStarted{}, GatewayStopped{},
		CertificateShown{}, CertificateRefused{}, CertificateExpiring{}, PrivateCACreated{},
		LockdownBegun{}, LockdownLifted{}, TokensForgotten{},
	}
}
