-- +goose Up

-- Times are milliseconds since 1970, UTC.

-- The processes that deliver from this store. One that is not alive any more has lost what it had claimed.
CREATE TABLE queue_nodes (
    id          TEXT    NOT NULL PRIMARY KEY,
    host        TEXT    NOT NULL, -- the machine, as it calls itself
    pid         INTEGER NOT NULL,
    alive_until INTEGER NOT NULL
) STRICT;

-- Messages that clients were told are accepted, and that are neither delivered nor bounced.
CREATE TABLE queue_messages (
    id       TEXT    NOT NULL PRIMARY KEY,
    mailbox  TEXT    NOT NULL, -- whose limits upstream it counts against, in lower case
    login    TEXT    NOT NULL, -- who submitted it
    state    TEXT    NOT NULL, -- waiting, held, barred or damaged
    reason   TEXT    NOT NULL, -- why it waits or is held, in words
    size     INTEGER NOT NULL, -- bytes, as they go to upstream
    parts    INTEGER NOT NULL, -- rows of queue_parts
    accepted INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    node     TEXT,             -- that is delivering it; NULL for none
    tries    INTEGER NOT NULL, -- that came to nothing
    waited   INTEGER NOT NULL, -- milliseconds between them, in all
    warned   INTEGER NOT NULL, -- 1 once the sender knows of the delay
    released INTEGER NOT NULL, -- 1 when an administrator has let it go although its app password is revoked
    sealed   BLOB    NOT NULL  -- whose it is, from whom and to whom
) STRICT;

CREATE INDEX queue_messages_due ON queue_messages (state, next_try, mailbox);
CREATE INDEX queue_messages_by_mailbox ON queue_messages (mailbox, state, login, next_try);

-- What became of each recipient. Their addresses are in the message's sealed record alone.
CREATE TABLE queue_recipients (
    message TEXT    NOT NULL,
    number  INTEGER NOT NULL, -- in the record, from 0
    state   TEXT    NOT NULL, -- waiting, delivered or refused
    reply   TEXT    NOT NULL, -- upstream's last word
    PRIMARY KEY (message, number)
) STRICT;

-- The tries of a message that came to nothing, for people who ask where it is.
CREATE TABLE queue_tries (
    message TEXT    NOT NULL,
    number  INTEGER NOT NULL, -- from 1
    began   INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    outcome TEXT    NOT NULL,
    reply   TEXT    NOT NULL,
    PRIMARY KEY (message, number)
) STRICT;

-- The content of messages, in parts.
CREATE TABLE queue_parts (
    message TEXT    NOT NULL,
    number  INTEGER NOT NULL, -- from 0
    written INTEGER NOT NULL,
    sealed  BLOB    NOT NULL,
    PRIMARY KEY (message, number)
) STRICT;

-- Messages on their way to upstream at this moment, from the queue or straight from a client.
CREATE TABLE submissions (
    id         TEXT    NOT NULL PRIMARY KEY,
    mailbox    TEXT    NOT NULL,
    login      TEXT    NOT NULL,
    node       TEXT    NOT NULL,
    recipients INTEGER NOT NULL
) STRICT;

CREATE INDEX submissions_by_mailbox ON submissions (mailbox);

-- How much has gone to upstream: messages by second, recipients by hour.
CREATE TABLE submission_counts (
    subject TEXT    NOT NULL, -- "mailbox ADDRESS" or "login NAME"
    unit    TEXT    NOT NULL, -- messages or recipients
    since   INTEGER NOT NULL, -- begin of the second or the hour
    count   INTEGER NOT NULL,
    PRIMARY KEY (subject, unit, since)
) STRICT;

-- Mailboxes that upstream has asked to go slower.
CREATE TABLE submission_paces (
    mailbox     TEXT    NOT NULL PRIMARY KEY,
    connections INTEGER NOT NULL, -- how many at once for now
    not_before  INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    reason      TEXT    NOT NULL
) STRICT;
