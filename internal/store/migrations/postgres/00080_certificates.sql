-- +goose Up

-- Times are milliseconds since 1970, UTC.

-- Certificates with their keys, and what belongs to getting them. Names are paths: private-ca/root.
CREATE TABLE certificate_items (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    modified BIGINT           NOT NULL,
    sealed   BYTEA            NOT NULL
);

-- Who is getting a certificate just now: of several processes, one.
CREATE TABLE certificate_leases (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder  TEXT COLLATE "C" NOT NULL, -- drawn at random by a process for each lease
    expires BIGINT           NOT NULL
);
