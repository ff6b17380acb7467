package bootlog

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recordedBoot is what the virtual machine of `make e2e-boot` measured.
const recordedBoot = "../../e2e/boot/testdata"

func readRecorded(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordedBoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecordedBoot: the log of a machine that really booted gives its registers,
// but for 10, which is IMA's; and no other value of any of them.
func TestRecordedBoot(t *testing.T) {
	values := map[int][]byte{}
	for s := bufio.NewScanner(bytes.NewReader(readRecorded(t, "pcrs.txt"))); s.Scan(); {
		var n int
		var digest string
		if _, err := fmt.Sscan(s.Text(), &n, &digest); err != nil {
			t.Fatal(err)
		}
		value, err := hex.DecodeString(digest)
		if err != nil {
			t.Fatal(err)
		}
		if n != 10 {
			values[n] = value
		}
	}
	log, err := Parse(readRecorded(t, "eventlog.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Replay("sha256", values); err != nil || len(values) != 15 {
		t.Fatalf("%d registers: %v", len(values), err)
	}
	for n, value := range values {
		value[0] ^= 1
		if _, err := log.Replay("sha256", values); err == nil {
			t.Errorf("register %d passes with another value", n)
		}
		value[0] ^= 1
	}
}

// TestRecordedStorage: the guest's pods were on storage that its owner cannot read,
// its policy demands that, and the verdict looked.
func TestRecordedStorage(t *testing.T) {
	if !bytes.Contains(readRecorded(t, "policy.yaml"), []byte("storage:\n  protected: true\n")) {
		t.Error("the policy demands no protected storage")
	}
	var verdict struct {
		Affirmed bool
		Checks   []struct {
			Code, Got string
			OK        bool
		}
	}
	if err := json.Unmarshal(readRecorded(t, "verdict.json"), &verdict); err != nil {
		t.Fatal(err)
	}
	looked := false
	for _, c := range verdict.Checks {
		looked = looked || c.Code == "ATT-170" && c.OK && c.Got == `"fscrypt"`
	}
	if !verdict.Affirmed || !looked {
		t.Errorf("affirmed %t, storage among the checks %t", verdict.Affirmed, looked)
	}
}
