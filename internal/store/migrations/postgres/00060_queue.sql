-- +goose Up

-- Times are milliseconds since 1970, UTC.

-- The processes that deliver from this store. One that is not alive any more has lost what it had claimed.
CREATE TABLE queue_nodes (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    host        TEXT COLLATE "C" NOT NULL, -- the machine, as it calls itself
    pid         BIGINT           NOT NULL,
    alive_until BIGINT           NOT NULL
);

-- Messages that clients were told are accepted, and that are neither delivered nor bounced.
CREATE TABLE queue_messages (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    mailbox  TEXT COLLATE "C" NOT NULL, -- whose limits upstream it counts against, in lower case
    login    TEXT COLLATE "C" NOT NULL, -- who submitted it
    state    TEXT COLLATE "C" NOT NULL, -- waiting, held, barred or damaged
    reason   TEXT COLLATE "C" NOT NULL, -- why it waits or is held, in words
    size     BIGINT           NOT NULL, -- bytes, as they go to upstream
    parts    BIGINT           NOT NULL, -- rows of queue_parts
    accepted BIGINT           NOT NULL,
    next_try BIGINT           NOT NULL,
    node     TEXT COLLATE "C",          -- that is delivering it; NULL for none
    tries    BIGINT           NOT NULL, -- that came to nothing
    waited   BIGINT           NOT NULL, -- milliseconds between them, in all
    warned   BIGINT           NOT NULL, -- 1 once the sender knows of the delay
    released BIGINT           NOT NULL, -- 1 when an administrator has let it go although its app password is revoked
    sealed   BYTEA            NOT NULL  -- whose it is, from whom and to whom
);

CREATE INDEX queue_messages_due ON queue_messages (state, next_try, mailbox);
CREATE INDEX queue_messages_by_mailbox ON queue_messages (mailbox, state, login, next_try);

-- What became of each recipient. Their addresses are in the message's sealed record alone.
CREATE TABLE queue_recipients (
    message TEXT COLLATE "C" NOT NULL,
    number  BIGINT           NOT NULL, -- in the record, from 0
    state   TEXT COLLATE "C" NOT NULL, -- waiting, delivered or refused
    reply   TEXT COLLATE "C" NOT NULL, -- upstream's last word
    PRIMARY KEY (message, number)
);

-- The tries of a message that came to nothing, for people who ask where it is.
CREATE TABLE queue_tries (
    message TEXT COLLATE "C" NOT NULL,
    number  BIGINT           NOT NULL, -- from 1
    began   BIGINT           NOT NULL,
    ended   BIGINT           NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    reply   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (message, number)
);

-- The content of messages, in parts.
CREATE TABLE queue_parts (
    message TEXT COLLATE "C" NOT NULL,
    number  BIGINT           NOT NULL, -- from 0
    written BIGINT           NOT NULL,
    sealed  BYTEA            NOT NULL,
    PRIMARY KEY (message, number)
);

-- Messages on their way to upstream at this moment, from the queue or straight from a client.
CREATE TABLE submissions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    mailbox    TEXT COLLATE "C" NOT NULL,
    login      TEXT COLLATE "C" NOT NULL,
    node       TEXT COLLATE "C" NOT NULL,
    recipients BIGINT           NOT NULL
);

CREATE INDEX submissions_by_mailbox ON submissions (mailbox);

-- How much has gone to upstream: messages by second, recipients by hour.
CREATE TABLE submission_counts (
    subject TEXT COLLATE "C" NOT NULL, -- "mailbox ADDRESS" or "login NAME"
    unit    TEXT COLLATE "C" NOT NULL, -- messages or recipients
    since   BIGINT           NOT NULL, -- begin of the second or the hour
    count   BIGINT           NOT NULL,
    PRIMARY KEY (subject, unit, since)
);

-- Mailboxes that upstream has asked to go slower.
CREATE TABLE submission_paces (
    mailbox     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    connections BIGINT           NOT NULL, -- how many at once for now
    not_before  BIGINT           NOT NULL,
    changed     BIGINT           NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL
);

-- Sealed bytes do not get smaller: trying costs time and memory.
ALTER TABLE queue_parts ALTER COLUMN sealed SET STORAGE EXTERNAL;
