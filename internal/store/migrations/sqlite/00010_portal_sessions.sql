-- +goose Up

-- Who is signed in to the portal. Times are milliseconds since 1970, UTC.
CREATE TABLE portal_sessions (
    hash      BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the key that the browser has
    provider  TEXT    NOT NULL,
    tenant_id TEXT    NOT NULL,
    object_id TEXT    NOT NULL,
    started   INTEGER NOT NULL,
    expires   INTEGER NOT NULL, -- unless a request comes
    version   INTEGER NOT NULL, -- counts the changes
    sealed    BLOB    NOT NULL  -- sealed with the keys file; the hash is part of the sealing
) STRICT;

CREATE INDEX portal_sessions_by_person ON portal_sessions (provider, tenant_id, object_id);
CREATE INDEX portal_sessions_by_expiry ON portal_sessions (expires);
