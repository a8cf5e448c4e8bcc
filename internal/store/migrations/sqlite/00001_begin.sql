-- +goose Up

-- Facts about the database itself, such as ring: the ID of the keys that it was made with.
CREATE TABLE facts (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Times are milliseconds since 1970, UTC; NULL where the time has not come.
CREATE TABLE app_passwords (
    id          TEXT    NOT NULL PRIMARY KEY,
    login       TEXT    NOT NULL, -- in lower case
    label       TEXT    NOT NULL,
    protocols   TEXT    NOT NULL, -- JSON array
    networks    TEXT    NOT NULL, -- JSON array of CIDR prefixes; empty means everywhere
    legacy_tls  INTEGER NOT NULL,
    read_only   INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    expires     INTEGER,
    revoked     INTEGER,
    hash        BLOB    NOT NULL UNIQUE, -- keyed: of no use without the keys file
    evidence    TEXT    NOT NULL, -- JSON object: method, by, at, tid, oid
    used_at     INTEGER,
    used_from   TEXT    NOT NULL,
    used_client TEXT    NOT NULL
) STRICT;

CREATE INDEX app_passwords_by_login ON app_passwords (login, created, id);

-- Sealed with the keys file; the four parts of the key are part of the sealing.
CREATE TABLE token_caches (
    provider  TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    owner     TEXT NOT NULL,
    kind      TEXT NOT NULL,
    sealed    BLOB NOT NULL,
    PRIMARY KEY (provider, tenant_id, owner, kind)
) STRICT;

CREATE TABLE accounts (
    provider  TEXT    NOT NULL,
    name      TEXT    NOT NULL, -- user principal name in lower case
    tenant_id TEXT    NOT NULL,
    object_id TEXT    NOT NULL,
    username  TEXT    NOT NULL,
    state     TEXT    NOT NULL, -- ok or needs-sign-in
    reason    TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (provider, name)
) STRICT;
