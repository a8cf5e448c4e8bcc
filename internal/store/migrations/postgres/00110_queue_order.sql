-- +goose Up

-- The one index there is gives the messages of a login in the order in which they are due.
DROP INDEX queue_messages_due;
DROP INDEX queue_messages_by_mailbox;
CREATE INDEX queue_messages_due ON queue_messages (state, mailbox, login, next_try, accepted, id);
