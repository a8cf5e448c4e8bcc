package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
)

func TestCreateAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	created, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(created.ID()) || opened.ID() != created.ID() {
		t.Errorf("got IDs %q and %q, want 32 hexadecimal digits, twice the same", created.ID(), opened.ID())
	}
	sealed, err := created.Seal([]byte("token"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := opened.Unseal(sealed, []byte("ad")); err != nil || string(got) != "token" {
		t.Errorf("got %q, %v; want what the created ring sealed", got, err)
	}
	hash, key := opened.Hash([]byte("x"))
	if want, under := created.Hash([]byte("x")); !bytes.Equal(hash, want) || key != under {
		t.Error("the opened ring hashes differently")
	}

	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("got mode %v, want -rw-------", info.Mode())
	}
	if left := entries(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("got files %q, want the keys file alone", left)
	}
}

func entries(t *testing.T, folder string) []string {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Create(path)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that the file exists, with its path", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "precious" {
		t.Errorf("the file is now %q", got)
	}
	if left := entries(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("got files %q, want the one that was there", left)
	}

	dangling := filepath.Join(t.TempDir(), "dangling")
	if err := os.Symlink("/nonexistent/elsewhere", dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dangling); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a symbolic link to nowhere: got %v, want an error that the file exists", err)
	}
}

func TestOfManyCreatorsOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	var all sync.WaitGroup
	rings := make([]*Ring, 8)
	for i := range rings {
		all.Go(func() {
			var err error
			if rings[i], err = Create(path); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	opened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for _, ring := range rings {
		if ring != nil {
			won++
			if ring.ID() != opened.ID() {
				t.Errorf("a creator has ring %s, and the file has %s", ring.ID(), opened.ID())
			}
		}
	}
	if won != 1 {
		t.Errorf("%d creators were successful, want 1", won)
	}
}

// TestCreateKilled runs Create in a process of its own that is killed at each stage.
func TestCreateKilled(t *testing.T) {
	if at := os.Getenv("POSTERN_TEST_KILL_AT"); at != "" {
		_, _ = create(os.Getenv("POSTERN_TEST_PATH"), func(s stage) {
			if string(s) == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
		t.Fatalf("stage %s was not reached", at)
	}
	for _, at := range []stage{begun, written, synced, linked} {
		t.Run(string(at), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "postern.keys")
			child := exec.Command(os.Args[0], "-test.run", "^TestCreateKilled$")
			child.Env = append(os.Environ(), "POSTERN_TEST_KILL_AT="+string(at), "POSTERN_TEST_PATH="+path)
			output, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("got %v, want a killed process; it said:\n%s", err, output)
			}
			_, err = Open(path)
			if whole := at == linked; whole && err != nil || !whole && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the kill: got %v", err)
			}
			for _, name := range entries(t, filepath.Dir(path)) {
				if info, err := os.Lstat(filepath.Join(filepath.Dir(path), name)); err != nil || info.Mode() != 0o600 {
					t.Errorf("%s is left with mode %v (%v), want -rw-------", name, info.Mode(), err)
				}
			}
			if _, err := Create(path); at != linked && err != nil {
				t.Errorf("creating it again: %v", err)
			}
		})
	}
}

func TestOpenRefusesWhatOthersCanUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.keys")
	if _, err := Create(path); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o610: false, 0o700: false, 0o644: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if good && err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if !good && (err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod 600")) {
			t.Errorf("mode %04o: got %v, want an error with the path and chmod 600", mode, err)
		}
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "postern.keys")
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("got %v, want an error that the file does not exist, with its path once", err)
	}
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v", err)
	}

	seal, hash := keysets(t)
	good, err := encode(material{id: "ring", seal: seal, hash: hash})
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := encode(material{id: "ring", seal: hash, hash: seal})
	if err != nil {
		t.Fatal(err)
	}
	short, err := keyset.NewHandle(prf.AESCMACPRFKeyTemplate()) // gives 16 bytes
	if err != nil {
		t.Fatal(err)
	}
	shortHash, err := encode(material{id: "ring", seal: seal, hash: short})
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%q is not in the file", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for name, test := range map[string]struct{ content, want string }{
		"empty":             {"", "not a keys file"},
		"PEM":               {"-----BEGIN PRIVATE KEY-----", "not a keys file"},
		"other JSON":        {`{"a": 1}`, "not a keys file"},
		"version in words":  {replace(`"version": 1`, `"version": "1"`), "not a keys file"},
		"newer":             {replace(`"version": 1`, `"version": 4, "more": 1`), "version 4"},
		"version 0":         {replace(`"version": 1`, `"version": 0`), "not a keys file"},
		"cut off":           {string(good[:len(good)/2]), "not a keys file"},
		"unknown field":     {replace(`"version": 1`, `"version": 1, "more": 1`), "damaged"},
		"without ID":        {replace(`"id": "ring"`, `"id": ""`), "damaged"},
		"without seal":      {replace(`"seal"`, `"sea"`), "damaged"},
		"damaged seal":      {replace(`"value": "`, `"value": "!`), "keys that seal"},
		"no keysets":        {`{"version": 1, "id": "x"}`, "keys that seal"},
		"keysets exchanged": {string(swapped), "keys that seal"},
		"short hash":        {string(shortHash), "less than 32 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with the path and %q", err, test.want)
			}
		})
	}
}

func keysets(t testing.TB) (seal, hash *keyset.Handle) {
	t.Helper()
	seal, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if hash, err = keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate()); err != nil {
		t.Fatal(err)
	}
	return seal, hash
}

// FuzzDecode damages a good file: the result is a ring or an error that shows nothing of the keys.
func FuzzDecode(f *testing.F) {
	seal, hash := keysets(f)
	good, err := encode(material{id: "ring", seal: seal, hash: hash})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, good)
	f.Add(12, []byte("2"))
	f.Add(60, []byte(`"`))
	f.Add(300, []byte("AAAA"))
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		content := bytes.Clone(good)
		copy(content[min(max(at, 0), len(content)):], patch)
		m, err := decode(content)
		var ring *Ring
		if err == nil {
			ring, err = newRing(m)
		}
		if (ring == nil) == (err == nil) {
			t.Fatalf("got ring %v and error %v", ring != nil, err)
		}
		if err != nil {
			for _, secret := range values(t, good) {
				if strings.Contains(err.Error(), secret[:12]) {
					t.Errorf("the error shows a key: %v", err)
				}
			}
		}
	})
}

// values gives the key material of a keys file, as it stands there.
func values(t *testing.T, content []byte) []string {
	t.Helper()
	type keys struct {
		Key []struct {
			KeyData struct {
				Value string `json:"value"`
			} `json:"keyData"`
		} `json:"key"`
	}
	var f struct{ Seal, Hash keys }
	if err := json.Unmarshal(content, &f); err != nil {
		t.Fatal(err)
	}
	return []string{f.Seal.Key[0].KeyData.Value, f.Hash.Key[0].KeyData.Value}
}
