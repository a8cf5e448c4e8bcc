-- +goose Up

-- Who is signed in to the portal. Times are milliseconds since 1970, UTC.
CREATE TABLE portal_sessions (
    hash      BYTEA            NOT NULL PRIMARY KEY, -- SHA-256 of the key that the browser has
    provider  TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    started   BIGINT           NOT NULL,
    expires   BIGINT           NOT NULL,             -- unless a request comes
    version   BIGINT           NOT NULL,             -- counts the changes
    sealed    BYTEA            NOT NULL              -- sealed with the keys file; the hash is part of the sealing
);

CREATE INDEX portal_sessions_by_person ON portal_sessions (provider, tenant_id, object_id);
CREATE INDEX portal_sessions_by_expiry ON portal_sessions (expires);
