-- +goose Up

-- Logins that may not sign in, whatever their password.
CREATE TABLE login_locks (
    login  TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- in lower case
    since  BIGINT           NOT NULL,             -- milliseconds since 1970, UTC
    locker TEXT COLLATE "C" NOT NULL,             -- who locked it
    reason TEXT COLLATE "C" NOT NULL
);

-- What was taken away or given back, in the order in which it happened: running gateways read on from where they were,
-- and end the sessions that are concerned. A number, and not a time, says where that is: clocks differ and are set.
CREATE TABLE withdrawals (
    number  BIGINT           NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    TEXT COLLATE "C" NOT NULL, -- password-revoked, login-locked or login-unlocked
    subject TEXT COLLATE "C" NOT NULL  -- the password's id, or the login
);
