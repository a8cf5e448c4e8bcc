package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/secret"
)

// HasCredential reports whether the application has a credential of its own.
func (p *Provider) HasCredential() bool { return len(p.credentialSources()) > 0 }

// HasSecret reports whether the application's credential is a secret.
func (p *Provider) HasSecret() bool { return len(p.secretSources()) > 0 }

// credentialSources gives the settings that name the application's credential.
func (p *Provider) credentialSources() []secretSource {
	return slices.Concat(p.secretSources(), p.certificateSources(), configured(
		secretSource{"client_assertion_file", p.ClientAssertionFile, func() (string, error) { return readAssertionFile(p.ClientAssertionFile) }},
		secretSource{"managed_identity", p.ManagedIdentity, p.checkManagedIdentity},
	))
}

// secretSource is one place where a secret can be.
type secretSource struct {
	key  string // the setting that names it
	name string // what the setting says
	read func() (string, error)
}

func (p *Provider) secretSources() []secretSource {
	return configured(
		secretSource{"client_secret_file", p.ClientSecretFile, func() (string, error) { return readSecretFile(p.ClientSecretFile) }},
		secretSource{"client_secret_env", p.ClientSecretEnv, func() (string, error) { return readEnvironment(p.ClientSecretEnv) }},
		secretSource{"client_secret_credential", p.ClientSecretCredential, func() (string, error) { return readCredential(p.ClientSecretCredential) }},
	)
}

func (p *Provider) certificateSources() []secretSource {
	return configured(
		secretSource{"client_certificate_file", p.ClientCertificateFile, func() (string, error) { return readSecretFile(p.ClientCertificateFile) }},
		secretSource{"client_certificate_credential", p.ClientCertificateCredential, func() (string, error) { return readCredential(p.ClientCertificateCredential) }},
	)
}

func configured(sources ...secretSource) []secretSource {
	var used []secretSource
	for _, source := range sources {
		if source.name != "" {
			used = append(used, source)
		}
	}
	return used
}

// ClientSecret reads the application's secret from where the file says; empty when it names none.
func (p *Provider) ClientSecret() (secret.Text, error) { return readFirst(p.secretSources()) }

// ClientCertificate reads the application's certificate and key, in PEM; empty when the file names none.
func (p *Provider) ClientCertificate() (secret.Text, error) { return readFirst(p.certificateSources()) }

// ClientAssertion reads the token of the federated credential, as it is now.
func (p *Provider) ClientAssertion() (secret.Text, error) {
	content, err := readAssertionFile(p.ClientAssertionFile)
	return secret.New(content), err
}

func readFirst(sources []secretSource) (secret.Text, error) {
	if len(sources) == 0 {
		return secret.Text{}, nil
	}
	content, err := sources[0].read()
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(content), nil
}

// The messages of what follows do not repeat what the setting says: people paste the secret itself there.

// readSecretFile reads a secret from a file that others cannot read. One line end at its end is
// not part of the secret.
func readSecretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	}
	if err := secret.Exposed(info); err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	}
	return notEmpty(string(content), "the file is empty")
}

// maxAssertionFile bounds the file of a federated credential, in bytes.
const maxAssertionFile = 64 << 10

// readAssertionFile reads the token that a platform keeps in a file. Its mode is the platform's: Kubernetes gives every user
// of a container the right to read it.
func readAssertionFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxAssertionFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the file cannot be read: %w", cause(err))
	case len(content) > maxAssertionFile:
		return "", errors.New("the file is too long for a token")
	}
	return notEmpty(string(content), "the file is empty")
}

// systemIdentity is the name of the machine's own identity.
const systemIdentity = "system"

// checkManagedIdentity looks at the name alone: whether the machine has the identity shows when it is asked for.
func (p *Provider) checkManagedIdentity() (string, error) {
	if p.ManagedIdentity != systemIdentity && !guid.MatchString(p.ManagedIdentity) {
		return "", errors.New("want system, or the client id of a user-assigned identity, a GUID; az identity show --query clientId shows it")
	}
	return p.ManagedIdentity, nil
}

func readEnvironment(name string) (string, error) {
	return notEmpty(os.Getenv(name), "there is no environment variable of this name, or it is empty")
}

// readCredential reads a systemd credential (systemd.exec(5), LoadCredential).
func readCredential(name string) (string, error) {
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" {
		return "", errors.New("there are no systemd credentials here: CREDENTIALS_DIRECTORY is not set")
	}
	if name != filepath.Base(name) || name == "." || name == ".." {
		return "", errors.New("want a credential's name, without a path")
	}
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return "", fmt.Errorf("the credential cannot be read: %w", cause(err))
	}
	return notEmpty(string(content), "the credential is empty")
}

func notEmpty(content, otherwise string) (string, error) {
	content = strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	if content == "" {
		return "", errors.New(otherwise)
	}
	return content, nil
}

// cause gives what the operating system said, without the path, which the message has already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
