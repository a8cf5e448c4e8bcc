-- +goose Up

-- Who may not sign in or send in an emergency, besides the logins that are locked one by one.
CREATE TABLE lockdowns (
    scope  TEXT COLLATE "C" NOT NULL, -- login, policy or all
    name   TEXT COLLATE "C" NOT NULL, -- of the login, in lower case, or of the policy; empty for all
    since  BIGINT           NOT NULL, -- milliseconds since 1970, UTC
    locker TEXT COLLATE "C" NOT NULL, -- who began it
    reason TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, name)
);
