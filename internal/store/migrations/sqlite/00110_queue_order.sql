-- +goose Up

-- Rows stand in the order of their keys, and ids grow with time: a message that is accepted changes as few pages as can be, and
-- a sync has as little to write. The one index there is gives the messages of a login in the order in which they are due. The
-- parts stay as they are: SQLite would read them whole to compare their keys (sqlite.org/withoutrowid.html).

CREATE TABLE queue_messages_ordered (
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
    sealed   BLOB    NOT NULL, -- whose it is, from whom and to whom
    restored INTEGER NOT NULL DEFAULT 0 -- 1 when it came out of a backup and waits for a human's word, 2 when the log knows its end
) STRICT, WITHOUT ROWID;

INSERT INTO queue_messages_ordered (id, mailbox, login, state, reason, size, parts, accepted, next_try, node, tries, waited, warned, released, sealed, restored)
    SELECT id, mailbox, login, state, reason, size, parts, accepted, next_try, node, tries, waited, warned, released, sealed, restored FROM queue_messages;
DROP TABLE queue_messages;
ALTER TABLE queue_messages_ordered RENAME TO queue_messages;
CREATE INDEX queue_messages_due ON queue_messages (state, mailbox, login, next_try, accepted, id);

CREATE TABLE queue_recipients_ordered (
    message TEXT    NOT NULL,
    number  INTEGER NOT NULL, -- in the record, from 0
    state   TEXT    NOT NULL, -- waiting, delivered or refused
    reply   TEXT    NOT NULL, -- upstream's last word
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;

INSERT INTO queue_recipients_ordered (message, number, state, reply) SELECT message, number, state, reply FROM queue_recipients;
DROP TABLE queue_recipients;
ALTER TABLE queue_recipients_ordered RENAME TO queue_recipients;
