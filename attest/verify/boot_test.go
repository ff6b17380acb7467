package verify_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
)

// booted is a machine that went through an honest boot.
func booted(t testing.TB) (prover, []attesttest.BootEvent) {
	t.Helper()
	m := attesttest.SWTPM(t)
	events := attesttest.HonestBoot()
	for _, e := range events {
		m.Extend(t, uint32(e.Register), sha256.Sum256(e.Data))
	}
	return newProver(t, m), events
}

func TestTPMBootLog(t *testing.T) {
	p, events := booted(t)
	// What comes after boot, in registers that the log says nothing of.
	p.machine.Extend(t, 11, sha256.Sum256([]byte("a phase")))
	p.machine.Extend(t, 14, sha256.Sum256([]byte("a pod")))
	p.machine.Extend(t, 15, sha256.Sum256([]byte("a machine's id")))
	x := p.round(t, nil)
	log := attesttest.BootLog(events)
	x.evidence.BootLog = log
	r, err := x.verify()
	check(t, err)
	boot := r.TPM.Boot
	if boot == nil || boot.SecureBoot == nil || !*boot.SecureBoot || boot.PK == nil || *boot.PK != sha256.Sum256([]byte("a platform key")) ||
		boot.FirmwareVersion == nil || *boot.FirmwareVersion != "firmware 1.0" || boot.CommandLine == nil ||
		*boot.CommandLine != "/vmlinuz root=/dev/sda1" || len(boot.Script) != 2 || boot.DB != nil || boot.Bank != "sha256" {
		t.Fatalf("got %+v", boot)
	}
	loader := sha256.Sum256([]byte("MZ a loader"))
	if diff := cmp.Diff([][]byte{loader[:]}, boot.Images); diff != "" {
		t.Error(diff)
	}
	separator := sha256.Sum256(make([]byte, 4))
	if missing, unexpected, ok := boot.Compare(4, [][]byte{loader[:], separator[:]}); !ok || len(missing) > 0 || unexpected != nil {
		t.Errorf("got %x, %x, %v", missing, unexpected, ok)
	}
	// The pod log goes on from what shim left.
	mok := sha256.Sum256([]byte("MokList"))
	if want := sha256.Sum256(append(make([]byte, 32), mok[:]...)); !bytes.Equal(boot.PodLogStart, want[:]) {
		t.Errorf("got start %x, want %x", boot.PodLogStart, want)
	}
	for _, i := range []int{10, 11, 14, 15} {
		if _, there := boot.Events[i]; there {
			t.Errorf("register %d is said to be of the boot", i)
		}
	}
	if n := len(boot.Events); n != 12 {
		t.Errorf("got %d registers, want 0 to 9, 12 and 13", n)
	}

	x.evidence.BootLog = nil
	r, err = x.verify()
	check(t, err)
	if r.TPM.Boot != nil {
		t.Errorf("got %+v without a log", r.TPM.Boot)
	}

	y := p.round(t, func(c *attest.Claims) { c.Register = "pcr12" })
	y.evidence.BootLog = log
	r, err = y.verify()
	check(t, err)
	if _, there := r.TPM.Boot.Events[12]; !there {
		t.Error("software chose a register that is not looked at")
	}

	for name, log := range map[string][]byte{
		"noise": []byte("noise"), "zeros": make([]byte, 4096), "cut": log[:len(log)-1], "a byte more": append(bytes.Clone(log), 7),
		"an event less": attesttest.BootLog(events[1:]), "an event more": attesttest.BootLog(append(attesttest.HonestBoot(), attesttest.HonestBoot()[0])),
		"an event of another register": attesttest.BootLog(append(attesttest.HonestBoot(), attesttest.BootEvent{Register: 9, Data: []byte{1}})),
		"another boot's":               attesttest.BootLog(swapped()),
		"hostile lengths":              append(bytes.Clone(log), bytes.Repeat([]byte{0xfe}, 64)...),
	} {
		t.Run(name, func(t *testing.T) {
			x := x
			x.evidence.BootLog = log
			r, err := x.verify()
			refused(t, r, err, "ATT-097")
		})
	}
	t.Run("every bit", func(t *testing.T) { everyBitOfALog(t, x, log) })
}

// swapped is a boot with two events of one register in another order.
func swapped() []attesttest.BootEvent {
	e := attesttest.HonestBoot()
	e[7], e[8] = e[8], e[7]
	return e
}

// everyBitOfALog: a log is no evidence but a stranger's explanation of it. Types,
// texts that no digest covers, and digests of other banks may be changed by
// anybody, so a changed log may pass. What it must not do is prove anything else
// than the honest one: each fact is the same or missing. Where a pod log begins is not proven before
// its replay.
func everyBitOfALog(t *testing.T, x exchange, log []byte) {
	x.evidence.BootLog = log
	r, err := x.verify()
	check(t, err)
	honest := r.TPM.Boot
	accepted := 0
	for bit := 0; bit < 8*len(log); bit += 3 {
		b := bytes.Clone(log)
		b[bit/8] ^= 1 << (bit % 8)
		x.evidence.BootLog = b
		r, err := x.verify()
		if err != nil {
			refused(t, r, err, "ATT-097")
			continue
		}
		accepted++
		got := r.TPM.Boot
		if !reflect.DeepEqual(got.Events, honest.Events) {
			t.Errorf("bit %d: got events %v, want %v", bit, got.Events, honest.Events)
		}
		for name, same := range map[string]bool{
			"secure boot": missingOr(got.SecureBoot, honest.SecureBoot), "pk": missingOr(got.PK, honest.PK),
			"version": missingOr(got.FirmwareVersion, honest.FirmwareVersion), "command line": missingOr(got.CommandLine, honest.CommandLine),
			"script": got.Script == nil || slices.Equal(got.Script, honest.Script),
			// Where the log no longer shows what it is not, it may be a program.
			"images": len(got.Images) >= len(honest.Images),
			"db":     got.DB == nil && got.DBX == nil && got.KEK == nil,
		} {
			if !same {
				t.Errorf("bit %d: got another %s: %+v", bit, name, got)
			}
		}
	}
	if 3*accepted >= 8*len(log) {
		t.Error("no change was refused")
	}
}

func missingOr[T comparable](got, want *T) bool { return got == nil || want != nil && *got == *want }

// tdBooted is a TD after an honest boot.
func tdBooted(t testing.TB, m *attesttest.TDX, events []attesttest.BootEvent) exchange {
	t.Helper()
	x := tdxRound(t, m)
	x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), func(q *attesttest.TDXQuote) {
		for i, r := range attesttest.RTMRs(events) {
			copy(q.Body[attesttest.TDXAtRTMRs+48*i:], r[:])
		}
	})
	return x
}

func TestTDXBootLog(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	events := attesttest.HonestTD()
	// A pod log's event is in the register and not in the firmware's log.
	x := tdBooted(t, m, append(attesttest.HonestTD(), attesttest.BootEvent{Register: 4, Data: []byte("a pod")}))
	x.evidence.BootLog = attesttest.BootLog(events)
	r, err := x.verify()
	check(t, err)
	boot := r.TDX.Boot
	loader := sha512.Sum384([]byte("MZ a loader"))
	if boot == nil || boot.Bank != "sha384" || boot.SecureBoot == nil || !*boot.SecureBoot || boot.CommandLine == nil ||
		len(boot.Events) != 3 || !cmp.Equal(boot.Images, [][]byte{loader[:]}) {
		t.Fatalf("got %+v", boot)
	}
	if want := attesttest.RTMRs(events)[3]; !bytes.Equal(boot.PodLogStart, want[:]) {
		t.Errorf("got start %x, want %x", boot.PodLogStart, want)
	}
	x.evidence.BootLog = nil
	r, err = x.verify()
	check(t, err)
	if r.TDX.Boot != nil {
		t.Errorf("got %+v without a log", r.TDX.Boot)
	}
	for name, log := range map[string][]byte{
		"noise": []byte("noise"), "an event less": attesttest.BootLog(events[1:]),
		"an event more":           attesttest.BootLog(append(attesttest.HonestTD(), attesttest.BootEvent{Register: 2, Data: []byte{1}})),
		"a log of the TPM's form": attesttest.BootLog(attesttest.HonestBoot()),
	} {
		x.evidence.BootLog = log
		r, err = x.verify()
		t.Log(name)
		refused(t, r, err, "ATT-097")
	}
	// Registers that no log explains, as of a TD whose firmware measures nothing.
	x = tdxRound(t, m)
	x.evidence.BootLog = attesttest.BootLog(events)
	r, err = x.verify()
	refused(t, r, err, "ATT-097")
}

// FuzzBootLog gives the verifier a stranger's log beside an honest quote.
func FuzzBootLog(f *testing.F) {
	m := attesttest.NewTDX(f, tdxNow, nil)
	x := tdBooted(f, m, attesttest.HonestTD())
	f.Add(attesttest.BootLog(attesttest.HonestTD()))
	f.Add(attesttest.BootLog(attesttest.HonestBoot()))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	v := verify.NewVerifier()
	f.Fuzz(func(t *testing.T, log []byte) {
		x := x
		x.evidence.BootLog = log
		r, err := v.Evidence([]attest.Evidence{x.evidence}, x.claims, x.ch, nil, x.roots, x.now)
		switch {
		case err != nil && len(log) > attest.MaxBootLog:
			refused(t, r, err, "ATT-011")
		case err != nil:
			refused(t, r, err, "ATT-097")
		case len(log) > 0 && len(r.TDX.Boot.Events) != 3:
			t.Errorf("got %+v", r.TDX.Boot)
		}
	})
}
