-- +goose Up

-- By which protocol an app password was used last; NULL where that was not noted.
ALTER TABLE app_passwords ADD COLUMN used_protocol TEXT;
