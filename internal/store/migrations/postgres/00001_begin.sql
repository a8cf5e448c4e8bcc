-- +goose Up

-- Facts about the database itself, such as ring: the ID of the keys that it was made with.
CREATE TABLE facts (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- Times are milliseconds since 1970, UTC; NULL where the time has not come.
CREATE TABLE app_passwords (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    login       TEXT COLLATE "C" NOT NULL,        -- in lower case
    label       TEXT COLLATE "C" NOT NULL,
    protocols   TEXT COLLATE "C" NOT NULL,        -- JSON array
    networks    TEXT COLLATE "C" NOT NULL,        -- JSON array of CIDR prefixes; empty means everywhere
    legacy_tls  BIGINT           NOT NULL,
    read_only   BIGINT           NOT NULL,
    created     BIGINT           NOT NULL,
    expires     BIGINT,
    revoked     BIGINT,
    hash        BYTEA            NOT NULL UNIQUE, -- keyed: of no use without the keys file
    evidence    TEXT COLLATE "C" NOT NULL,        -- JSON object: method, by, at, tid, oid
    used_at     BIGINT,
    used_from   TEXT COLLATE "C" NOT NULL,
    used_client TEXT COLLATE "C" NOT NULL
);

CREATE INDEX app_passwords_by_login ON app_passwords (login, created, id);

-- Sealed with the keys file; the four parts of the key are part of the sealing.
CREATE TABLE token_caches (
    provider  TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL,
    owner     TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    sealed    BYTEA            NOT NULL,
    PRIMARY KEY (provider, tenant_id, owner, kind)
);

CREATE TABLE accounts (
    provider  TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL, -- user principal name in lower case
    tenant_id TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    username  TEXT COLLATE "C" NOT NULL,
    state     TEXT COLLATE "C" NOT NULL, -- ok or needs-sign-in
    reason    TEXT COLLATE "C" NOT NULL,
    since     BIGINT           NOT NULL,
    PRIMARY KEY (provider, name)
);
