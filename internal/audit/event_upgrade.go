package audit

// GatewayUpgrade is a new process that is to take the gateway's place. If it does, it says so by its gateway-started.
type GatewayUpgrade struct {
	Program string `json:"program"` // the file that is started
	By      string `json:"by"`
}

// GatewayUpgradeFailed is a gateway that goes on, since the process that was to take its place does not serve.
type GatewayUpgradeFailed struct {
	Detail string `json:"detail"` // why, in words
	By     string `json:"by"`
}

func (GatewayUpgrade) Kind() string       { return "gateway-upgrade" }
func (GatewayUpgradeFailed) Kind() string { return "gateway-upgrade-failed" }

func (GatewayUpgrade) Privileged() bool       { return true }
func (GatewayUpgradeFailed) Privileged() bool { return true }
