package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"postern/internal/keys"
)

// keysCheck is how often the keys file is looked at for what another process has added.
const keysCheck = time.Second

// followKeys takes up what becomes of the keys file, until ctx ends. A file that cannot be read changes nothing: the keys
// that are known go on.
func followKeys(ctx context.Context, ring *keys.Ring, log *slog.Logger) {
	ticker := time.NewTicker(keysCheck)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		changed, err := ring.Refresh()
		switch {
		case err != nil && !failing:
			log.Error("the keys file cannot be read; the gateway goes on with the keys that it knows", "error", err)
		case changed:
			log.Info("the keys file has changed and is taken up", "file", ring.Path())
		}
		failing = err != nil
	}
}

// keysInUse says which keys a gateway uses for what is new.
type keysInUse struct {
	Seal     uint32 `json:"seal"`
	Hash     uint32 `json:"hash"`
	Prepared bool   `json:"prepared"` // it knows keys that are to become these
}

// refreshKeys has the gateway look at its keys file now, and tells which keys it uses.
func (a *adminSocket) refreshKeys(w http.ResponseWriter, _ *http.Request) {
	if _, err := a.keys.Refresh(); err != nil {
		answer(w, http.StatusInternalServerError, map[string]string{"error": "the gateway cannot read its keys: " + err.Error()})
		return
	}
	seal, hash := a.keys.Primaries()
	answer(w, http.StatusOK, keysInUse{seal, hash, a.keys.IsPrepared()})
}

// refreshKeys has the running gateway look at its keys file now.
func (r *Running) refreshKeys(ctx context.Context) (in keysInUse, err error) {
	err = r.ask(ctx, http.MethodPost, "/keys/refresh", nil, &in)
	return in, err
}
