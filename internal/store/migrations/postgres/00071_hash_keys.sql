-- +goose Up

-- Which key of the keys file the hash of an app password is under; 0 where that was not noted.
ALTER TABLE app_passwords ADD COLUMN hash_key BIGINT NOT NULL DEFAULT 0;
