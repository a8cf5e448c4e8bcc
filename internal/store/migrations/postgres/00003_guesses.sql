-- +goose Up

-- Times are milliseconds since 1970, UTC.

-- How often wrong app passwords were tried, by login and by source. Neither names nor passwords are here.
CREATE TABLE guess_counts (
    kind       TEXT COLLATE "C" NOT NULL, -- login or source
    subject    BYTEA            NOT NULL, -- keyed hash of the login; the source's address or network
    guesses    BIGINT           NOT NULL,
    level      BIGINT           NOT NULL, -- how often a source was held off
    guessed    BIGINT           NOT NULL, -- the last time
    held_until BIGINT,
    PRIMARY KEY (kind, subject)
);

CREATE INDEX guess_counts_by_age ON guess_counts (kind, guessed);

-- From where somebody has signed in for a login.
CREATE TABLE known_sources (
    login  TEXT COLLATE "C" NOT NULL, -- in lower case
    source TEXT COLLATE "C" NOT NULL, -- CIDR prefix
    used   BIGINT           NOT NULL, -- the last time, give or take an hour
    PRIMARY KEY (login, source)
);

CREATE INDEX known_sources_by_age ON known_sources (used);

-- When a token cache was last written, which is when its refresh token was last used; NULL for one from before this.
ALTER TABLE token_caches ADD COLUMN saved BIGINT;
