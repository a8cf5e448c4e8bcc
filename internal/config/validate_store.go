package config

import (
	"cmp"
	"net/url"
	"path/filepath"
	"strings"

	"postern/internal/secret"
)

// storeSources gives the settings that name the password of the store's database.
func (c *Config) storeSources() []secretSource {
	return configured(
		secretSource{"store_password_file", c.StorePasswordFile, func() (string, error) { return readSecretFile(c.StorePasswordFile) }},
		secretSource{"store_password_env", c.StorePasswordEnv, func() (string, error) { return readEnvironment(c.StorePasswordEnv) }},
		secretSource{"store_password_credential", c.StorePasswordCredential, func() (string, error) { return readCredential(c.StorePasswordCredential) }},
	)
}

// StorePassword reads the password of the store's database from where the file says; empty when it names none.
func (c *Config) StorePassword() (secret.Text, error) { return readFirst(c.storeSources()) }

// store looks at where the state is kept, and gives the folder for what lies beside it.
func (v *validator) store() (folder string) {
	c := v.config
	c.StorePasswordFile = v.absolute(c.StorePasswordFile)
	kind, file, found := strings.Cut(cmp.Or(c.Store, "sqlite:postern.db"), ":")
	switch {
	case kind == "postgres" || kind == "postgresql":
		v.postgres()
		return v.folder
	case kind != "sqlite" || !found || file == "":
		v.wrong("store", "want sqlite:FILE or postgres://USER@HOST/DATABASE")
		return v.folder
	}
	if sources := c.storeSources(); len(sources) > 0 {
		v.wrong(sources[0].key, "a file of SQLite has no password; leave this out")
	}
	c.Store = "sqlite:" + v.absolute(file)
	return filepath.Dir(v.absolute(file))
}

// postgres looks at the URL of a database. Its messages do not repeat it: people put passwords there.
func (v *validator) postgres() {
	c := v.config
	u, err := url.Parse(c.Store)
	if err != nil || u.Opaque != "" {
		v.wrong("store", "it is no URL; want postgres://USER@HOST/DATABASE")
		return
	}
	query := u.Query()
	if _, there := u.User.Password(); there || query.Has("password") {
		v.wrong("store", "passwords are never in the file; put it into a file of mode 0600 and name that with store_password_file, or use store_password_env or store_password_credential")
	}
	if u.Host == "" && query.Get("host") == "" {
		v.wrong("store", "it names no server; want postgres://USER@HOST/DATABASE, or postgres://USER@/DATABASE?host=/var/run/postgresql for a unix socket")
	}
	if strings.Trim(u.Path, "/") == "" && query.Get("dbname") == "" && query.Get("database") == "" {
		v.wrong("store", "it names no database; want postgres://USER@HOST/DATABASE")
	}
	sources := c.storeSources()
	if len(sources) > 1 {
		v.wrong(sources[1].key, "the password is named by %s already; keep one of them", sources[0].key)
		return
	}
	for _, source := range sources {
		if _, err := source.read(); err != nil {
			v.wrong(source.key, "%v", err)
		}
	}
}
