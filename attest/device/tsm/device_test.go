package tsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"
	"go.uber.org/goleak"

	"apocryph/attest"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kernel is a configfs; answer makes the report, and may wait.
type kernel struct {
	configfsi.Client
	entries atomic.Int32
	// disturbed is how many requests somebody else writes into.
	disturbed atomic.Int32
	sub       *faketsm.ReportSubsystem
}

func newKernel(name string, answer func(data [64]byte) []byte) *kernel {
	k := &kernel{sub: faketsm.ReportV7(0)}
	k.sub.ReadAttr = func(e *faketsm.ReportEntry, attr string) ([]byte, error) {
		switch attr {
		case "provider":
			return []byte(name + "\n"), nil
		case "auxblob":
			return nil, nil
		case "outblob":
			if k.disturbed.Add(-1) >= 0 {
				e.WriteGeneration++
			}
			return answer([64]byte(e.InAttrs["inblob"].Value)), nil
		}
		return nil, os.ErrNotExist
	}
	k.Client = &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": k.sub}}
	return k
}

func (k *kernel) MkdirTemp(dir, pattern string) (string, error) {
	k.entries.Add(1)
	return k.Client.MkdirTemp(dir, pattern)
}

func (k *kernel) RemoveAll(path string) error {
	k.entries.Add(-1)
	return k.Client.RemoveAll(path)
}

// nobody endorses nothing.
type nobody struct{}

func (nobody) Endorse(_ context.Context, e attest.Evidence) (attest.Evidence, error) { return e, nil }

func reportOver(data [64]byte) []byte {
	r := make([]byte, 1184)
	copy(r[atReportData:], data[:])
	return r
}

func open(t *testing.T, c Client) *Device {
	t.Helper()
	d, err := Open(Config{Type: attest.SEVSNP, Client: c, Endorser: nobody{}, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestDisturbed: somebody else writes into requests, for a while and for good.
func TestDisturbed(t *testing.T) {
	for n, reason := range map[int32]string{0: "", reportTries - 1: "", 1000: "tsm.contended"} {
		k := newKernel(providerSNP, reportOver)
		k.disturbed.Store(n)
		e, err := open(t, k).Attest(t.Context(), []byte("claims"))
		if status.ReasonOf(err) != reason {
			t.Errorf("%d times: got %v, want %q", n, err, reason)
		}
		want := attest.ReportData([]byte("claims"))
		if err == nil && !bytes.Equal(e.Report[atReportData:][:64], want[:]) {
			t.Error("the report is over something else")
		}
		if left := k.entries.Load(); left != 0 {
			t.Errorf("%d times: %d requests are left", n, left)
		}
	}
}

func TestRefusedReports(t *testing.T) {
	for name, tt := range map[string]struct {
		kernel *kernel
		reason string
	}{
		"another platform":  {newKernel("arm_cca_guest", reportOver), "tsm.provider"},
		"nothing":           {newKernel(providerSNP, func([64]byte) []byte { return nil }), "tsm.malformed"},
		"short":             {newKernel(providerSNP, func(d [64]byte) []byte { return reportOver(d)[:1183] }), "tsm.malformed"},
		"for somebody else": {newKernel(providerSNP, func([64]byte) []byte { return reportOver([64]byte{1}) }), "tsm.malformed"},
		"a panic":           {newKernel(providerSNP, func([64]byte) []byte { panic("boom") }), "tsm.failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := open(t, tt.kernel).Attest(t.Context(), []byte("claims")); status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, %v, want %s", e, err, tt.reason)
			}
		})
	}
}

// TestQueue: one report at a time, a bounded queue, and callers that give up.
func TestQueue(t *testing.T) {
	gate, asked := make(chan struct{}), make(chan struct{}, 2*maxWaiting)
	var at, most atomic.Int32
	k := newKernel(providerSNP, func(data [64]byte) []byte {
		most.Store(max(most.Load(), at.Add(1)))
		asked <- struct{}{}
		<-gate
		at.Add(-1)
		return reportOver(data)
	})
	d := open(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var gone atomic.Int32
	for range maxWaiting {
		wg.Go(func() {
			if _, err := d.Attest(ctx, []byte("claims")); errors.Is(err, context.Canceled) {
				gone.Add(1)
			}
		})
	}
	<-asked
	for {
		d.mu.Lock()
		full := d.waiting == maxWaiting
		d.mu.Unlock()
		if full {
			break
		}
	}
	_, err := d.Attest(t.Context(), []byte("claims"))
	var e *status.Error
	if !errors.As(err, &e) || e.Reason != "tsm.busy" || e.RetryAfter == 0 {
		t.Errorf("got %v", err)
	}
	cancel()
	wg.Wait()
	if got := gone.Load(); got != maxWaiting {
		t.Errorf("%d of %d callers gave up", got, maxWaiting)
	}
	close(gate)
	if _, err := d.Attest(t.Context(), []byte("claims")); err != nil || most.Load() != 1 {
		t.Errorf("got %v; %d reports at once", err, most.Load())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Attest(t.Context(), []byte("claims")); status.ReasonOf(err) != "tsm.closed" {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	k := newKernel(providerSNP, reportOver)
	whole := Config{Type: attest.TDX, Client: k, Endorser: nobody{}, StateDir: t.TempDir()}
	for name, change := range map[string]func(*Config){
		"type": func(c *Config) { c.Type = attest.TPM2 }, "endorser": func(c *Config) { c.Endorser = nil },
		"directory": func(c *Config) { c.StateDir = "" }, "level": func(c *Config) { c.VMPL = 4 },
		"client": func(c *Config) { c.Client = nil },
		"log":    func(c *Config) { c.BootLog = t.TempDir() },
	} {
		c := whole
		change(&c)
		if d, err := Open(c); err == nil {
			t.Errorf("%s: got %v", name, d)
		}
	}
}

func TestBootLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "CCEL")
	if log, err := readBootLog(path); log != nil || err != nil {
		t.Errorf("absent: got %d bytes, %v", len(log), err)
	}
	for name, tt := range map[string]struct {
		content []byte
		want    int
	}{
		"small":         {[]byte("log"), 3},
		"at the cap":    {bytes.Repeat([]byte{1, 2}, attest.MaxBootLog/2), attest.MaxBootLog},
		"padded, ones":  {append([]byte("log"), bytes.Repeat([]byte{0xff}, attest.MaxBootLog)...), attest.MaxBootLog},
		"padded, zeros": {append([]byte("log"), make([]byte, 2*attest.MaxBootLog)...), attest.MaxBootLog},
		"too long":      {bytes.Repeat([]byte{1, 2}, attest.MaxBootLog), -1},
		"far too long":  {make([]byte, maxArea+1), -1},
	} {
		if err := os.WriteFile(path, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := readBootLog(path)
		if (err != nil) != (tt.want < 0) || err == nil && !bytes.Equal(log, tt.content[:tt.want]) {
			t.Errorf("%s: got %d bytes, %v", name, len(log), err)
		}
	}
}

func quote(version uint16, body uint32, signature int) []byte {
	le := binary.LittleEndian
	q := make([]byte, quoteHeader)
	le.PutUint16(q, version)
	if version == 5 {
		q = le.AppendUint32(le.AppendUint16(q, 2), body)
	}
	q = append(q, make([]byte, body)...)
	q = le.AppendUint32(q, uint32(signature))
	return append(q, bytes.Repeat([]byte{9}, signature)...)
}

func TestCutQuote(t *testing.T) {
	for _, whole := range [][]byte{quote(4, 584, 100), quote(5, 584, 1), quote(5, 648, 0)} {
		for _, rest := range []int{0, 1, 5000} {
			got, data, err := cutQuote(append(bytes.Clone(whole), make([]byte, rest)...))
			if err != nil || !bytes.Equal(got, whole) || len(data) != reportDataSize {
				t.Errorf("got %d of %d bytes, %v", len(got), len(whole), err)
			}
		}
		for n := range whole {
			if got, _, err := cutQuote(whole[:n]); err == nil {
				t.Errorf("%d of %d bytes were read as %d", n, len(whole), len(got))
			}
		}
	}
	huge := quote(4, 584, 0)
	binary.LittleEndian.PutUint32(huge[quoteHeader+quoteBody10:], 0xffffffff)
	for name, b := range map[string][]byte{"version 3": quote(3, 584, 1), "a small body": quote(5, 583, 1), "huge": huge} {
		if got, _, err := cutQuote(b); err == nil {
			t.Errorf("%s: got %d bytes", name, len(got))
		}
	}
}

func FuzzCutQuote(f *testing.F) {
	f.Add(quote(4, 584, 3))
	f.Add(quote(5, 648, 3))
	f.Add([]byte{5, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, data, err := cutQuote(b); err == nil && (len(q) > len(b) || len(data) != reportDataSize) {
			t.Errorf("cut %d bytes from %d", len(q), len(b))
		}
	})
}

func FuzzTable(f *testing.F) {
	entry := func(guid [guidSize]byte, offset, length uint32) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(guid[:], offset), length)
	}
	f.Add(append(entry(guidVCEK, 48, 3), append(make([]byte, entrySize), "abc"...)...))
	// The sum of these overflows 32 bits.
	f.Add(append(entry(guidVLEK, 0xfffffff0, 0x20), make([]byte, 64)...))
	f.Add(entry(guidASK, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, cert := range parseTable(b) {
			if len(cert) > len(b) || len(cert) > attest.MaxCertificate {
				t.Errorf("%d bytes of %d", len(cert), len(b))
			}
		}
		chainOf(reportOver([64]byte{}), b)
	})
}
