-- +goose Up

-- Several gateways count together: what a count needs for that besides. Times are milliseconds since 1970, UTC.
ALTER TABLE guess_counts ADD COLUMN due BIGINT;   -- of a login: when the next guess would be due if they came evenly
ALTER TABLE guess_counts ADD COLUMN lane BIGINT;  -- of a login: until when sources that have not guessed are held off
ALTER TABLE guess_counts ADD COLUMN began BIGINT; -- of a source: when the counting of its guesses began
