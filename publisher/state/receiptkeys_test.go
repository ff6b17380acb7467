package state

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/receipt"
	"apocryph/proto/status"
)

func TestReceiptKeys(t *testing.T) {
	s := newState(t)
	keys := s.ReceiptKeys()
	want := client.AttestedKey{
		Key: bytes.Repeat([]byte{7}, 32), Provider: "12D3KooWExample", BootEpoch: []byte{1, 2}, Level: attest.LevelSNP,
		Platform: "0898", Policy: [32]byte{3}, Warnings: []string{"one"}, Seen: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
	}
	id := receipt.KeyID(want.Key)
	refused := func(id string, code status.Code) {
		t.Helper()
		if _, err := keys.Key(id); status.CodeOf(err) != code {
			t.Errorf("%.80q: got %v, want %v", id, err, code)
		}
	}
	refused(id, status.NotFound)
	must(t, keys.RememberKey(want))
	got, err := keys.Key(id)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{"", "../" + id, id[:63], id + "0", "\x00", receipt.KeyID(make([]byte, 32))} {
		refused(other, status.NotFound)
	}
	path := filepath.Join(keys.dir(), id+".json")
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	// A file that was given another key's name is not that key.
	b, err := os.ReadFile(path)
	must(t, err)
	other := receipt.KeyID(make([]byte, 32))
	must(t, os.WriteFile(filepath.Join(keys.dir(), other+".json"), b, 0o600))
	refused(other, status.InvalidArgument)
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	refused(id, status.InvalidArgument)
	if err := keys.RememberKey(client.AttestedKey{}); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("no key: got %v", err)
	}
}
