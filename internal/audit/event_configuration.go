package audit

// ConfigurationChanged is a configuration that takes the place of the one that the gateway runs with.
type ConfigurationChanged struct {
	Before  string   `json:"before"`                        // SHA-256 of the file that was in force, in hex
	After   string   `json:"after"`                         // likewise of the one that is now
	Changes []string `json:"changes,omitempty"`             // the settings that differ, and how many logins; nothing where only files that it names do
	Waiting []string `json:"waiting_for_restart,omitempty"` // settings that count from the next start on
	By      string   `json:"by"`
}

// ConfigurationRefused is a configuration that was to take the place of another and cannot: nothing has changed.
type ConfigurationRefused struct {
	Detail string `json:"detail"` // what is wrong with it, with file and line
	By     string `json:"by"`
}

func (ConfigurationChanged) Kind() string { return "configuration-changed" }
func (ConfigurationRefused) Kind() string { return "configuration-refused" }

func (ConfigurationChanged) Privileged() bool { return true }
func (ConfigurationRefused) Privileged() bool { return true }
