-- +goose Up

-- Messages that came from a backup and may have been sent since it was made: 1 while nobody has said that they may go, 2
-- where the audit log says that they were. Both are held.
ALTER TABLE queue_messages ADD COLUMN restored BIGINT NOT NULL DEFAULT 0;
