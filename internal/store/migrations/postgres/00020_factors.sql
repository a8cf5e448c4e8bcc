-- +goose Up

-- Times are milliseconds since 1970, UTC; NULL where the time has not come.

-- Second factors of people: what they prove in the portal who they are with, besides their sign-in at the provider.
CREATE TABLE factors (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL, -- whose it is; names are not keys
    object_id TEXT COLLATE "C" NOT NULL,
    method    TEXT COLLATE "C" NOT NULL, -- totp or passkey
    name      TEXT COLLATE "C" NOT NULL, -- chosen by its owner
    created   BIGINT           NOT NULL,
    used      BIGINT,
    counter   BIGINT           NOT NULL, -- of TOTP the time step of the last code; of a passkey its signature counter
    handle    BYTEA            UNIQUE,   -- of a passkey its credential id
    sealed    BYTEA            NOT NULL  -- the key of TOTP, the record of a passkey; the columns that never change are part of the sealing
);

CREATE INDEX factors_by_person ON factors (tenant_id, object_id, created, id);

-- What was begun in a browser and is to be finished there: a challenge, or a key that is not proven yet.
CREATE TABLE ceremonies (
    browser   TEXT COLLATE "C" NOT NULL, -- names the browser's session
    purpose   TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    expires   BIGINT           NOT NULL,
    sealed    BYTEA            NOT NULL,
    PRIMARY KEY (browser, purpose)
);
