-- +goose Up

-- An account that the provider refuses for a reason which no sign-in mends has the state refused. It is asked again a
-- few times: how often that was, and when the next time comes; NULL when only somebody's act brings it.
ALTER TABLE accounts ADD COLUMN asked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN retry_at BIGINT; -- milliseconds since 1970, UTC

-- For the accounts whose refresh token nobody has used for long.
CREATE INDEX token_caches_by_owner ON token_caches (provider, tenant_id, owner, saved);

-- Who is getting new content for a token cache just now: of several processes, one.
CREATE TABLE token_leases (
    provider  TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL,
    owner     TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    holder    TEXT COLLATE "C" NOT NULL, -- drawn at random by a process for each lease
    expires   BIGINT           NOT NULL, -- milliseconds since 1970, UTC
    PRIMARY KEY (provider, tenant_id, owner, kind)
);
