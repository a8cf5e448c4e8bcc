package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"postern/internal/keys"

	"github.com/pressly/goose/v3"
)

// versionTable is where goose notes which migrations it has run.
const versionTable = "schema_migrations"

// migrate brings a database to the newest version, each step in a transaction of its own.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, migrations fs.FS, more ...goose.ProviderOption) error {
	provider, err := goose.NewProvider(dialect, db, migrations, append(more,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))...)
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// inspect looks at a database before anything in it is changed, reading only: whether it is one of Postern's, how new its
// schema is, and whose it is. current reports that it needs no migration. tables gives how many tables there are, and how
// many of them have the name of [versionTable].
func inspect(ctx context.Context, db *sql.DB, tables string, migrations fs.FS, ring *keys.Ring) (current bool, err error) {
	var all, migrated int
	if err := db.QueryRowContext(ctx, tables, versionTable).Scan(&all, &migrated); err != nil {
		return false, err
	}
	if migrated == 0 {
		if all > 0 {
			return false, errors.New("it is not a database of Postern: name another one")
		}
		return false, nil // new, or made by a process that died before it could migrate
	}
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return false, err
	}
	newest, err := newestVersion(migrations)
	if err != nil {
		return false, err
	}
	if version > newest {
		return false, fmt.Errorf("its schema is version %d, and this program knows versions up to %d: use a newer Postern; nothing was changed", version, newest)
	}
	if version == 0 {
		return false, nil
	}
	var id string
	switch err := db.QueryRowContext(ctx, factSQL, ringFact).Scan(&id); {
	case errors.Is(err, sql.ErrNoRows):
		return version == newest, nil // made by a process that died before it could claim it
	case err != nil:
		return false, err
	}
	if err := belongs(id, ring); err != nil {
		return false, err
	}
	_, err = openPrintKey(ctx, db, ring)
	return version == newest, err
}

// schemaVersion gives the version of a database that has the version table; 0 is before the first migration.
func schemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+versionTable).Scan(&version)
	return version, err
}

// newestVersion gives the version that the newest migration leads to.
func newestVersion(migrations fs.FS) (newest int64, err error) {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}
