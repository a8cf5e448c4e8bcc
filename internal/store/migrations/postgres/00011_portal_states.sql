-- +goose Up

-- Sign-ins to the portal that have come back from the provider: none is taken twice. Rows go once they would have expired.
CREATE TABLE portal_states (
    hash    BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 of the state
    expires BIGINT NOT NULL              -- milliseconds since 1970, UTC
);

CREATE INDEX portal_states_by_expiry ON portal_states (expires);

-- The portal finds the accounts of a person by this.
CREATE INDEX accounts_by_person ON accounts (provider, tenant_id, object_id);
