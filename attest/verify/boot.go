package verify

import (
	"errors"
	"fmt"
	"strings"

	"apocryph/attest"
	"apocryph/attest/bootlog"
	"apocryph/proto/status"
)

// The registers that the pod log extends. What the claims name makes no
// difference: software could choose which register of its boot is not looked at.
const (
	podLogPCR  = 14
	podLogRTMR = 3
)

// afterBoot are the PCRs that software goes on to extend, or anybody resets,
// once firmware and loaders have ended: IMA's, systemd's for the phases of boot,
// the pod log's, systemd's for the system's identity, and those for debugging and
// applications.
func afterBoot(pcr uint32) bool {
	switch pcr {
	case 10, 11, podLogPCR, 15, 16, 23:
		return true
	}
	return false
}

// checkTPMBoot replays a boot log against the quoted registers. No log is no
// fault: a policy that asks for facts refuses then.
func checkTPMBoot(s *steps, log []byte, pcrs []attest.PCR) (*attest.BootFacts, error) {
	values := make(map[int][]byte, len(pcrs))
	for _, p := range pcrs {
		if p.Bank == "sha256" && !afterBoot(p.Index) {
			values[int(p.Index)] = p.Value
		}
	}
	return checkBoot(s, log, func(l *bootlog.Log) (*bootlog.Boot, []byte, error) {
		b, err := l.Replay("sha256", values)
		if err != nil {
			return nil, nil, err
		}
		start, err := l.Register("sha256", podLogPCR)
		return b, start, err
	}, values)
}

// checkTDXBoot does the same with the log of a TD's CCEL area and RTMR 0 to 2.
func checkTDXBoot(s *steps, log []byte, rtmrs [4][]byte) (*attest.BootFacts, error) {
	values := map[int][]byte{0: rtmrs[0], 1: rtmrs[1], 2: rtmrs[2]}
	return checkBoot(s, log, func(l *bootlog.Log) (*bootlog.Boot, []byte, error) {
		b, err := l.ReplayRTMR(values)
		if err != nil {
			return nil, nil, err
		}
		start, err := l.RegisterRTMR(podLogRTMR)
		return b, start, err
	}, values)
}

func checkBoot(s *steps, log []byte, replay func(*bootlog.Log) (*bootlog.Boot, []byte, error), values map[int][]byte) (*attest.BootFacts, error) {
	if len(log) == 0 {
		return nil, nil
	}
	const want = "a log that explains the quoted registers"
	l, err := bootlog.Parse(log)
	if err != nil {
		return nil, s.fail(codeBootLog, told(err), want, err)
	}
	b, start, err := replay(l)
	if err != nil {
		return nil, s.fail(codeBootLog, told(err), want, err)
	}
	s.pass(codeBootLog, fmt.Sprintf("%d events, %d registers", len(l.Events()), len(values)))
	return bootFacts(b, start, values), nil
}

// told is what package bootlog has to say, which has no text of the log's, cut to
// what fits on a line.
func told(err error) string {
	const most = 240
	var e *status.Error
	if !errors.As(err, &e) {
		return "a log that cannot be read"
	}
	if len(e.Detail) > most {
		return strings.ToValidUTF8(e.Detail[:most], "") + "..."
	}
	return e.Detail
}

// bootFacts copies what a replay proved.
func bootFacts(b *bootlog.Boot, start []byte, values map[int][]byte) *attest.BootFacts {
	f := b.Facts()
	out := &attest.BootFacts{
		Bank: b.Bank(), Events: make(map[int][][]byte, len(values)), PodLogStart: start,
		SecureBoot: value(f.SecureBoot), PK: value(f.PK), KEK: value(f.KEK), DB: value(f.DB), DBX: value(f.DBX),
		Images: list(f.Images), FirmwareVersion: value(f.FirmwareVersion), Firmware: list(f.Firmware),
		CommandLine: value(f.CommandLine), Script: list(f.Script),
		LoadOptions: list(f.LoadOptions), Initrd: list(f.Initrd),
	}
	for i := range values {
		if digests, ok := b.Digests(i); ok {
			out.Events[i] = digests
		}
	}
	if f.Sections != nil {
		for _, x := range f.Sections.Value {
			out.Sections = append(out.Sections, attest.BootSection{Name: x.Name, Digest: x.Digest})
		}
	}
	for _, x := range f.Missing {
		out.Missing = append(out.Missing, attest.BootMissing{Fact: x.Fact, Why: x.Why})
	}
	return out
}

func value[T any](f *bootlog.Fact[T]) *T {
	if f == nil {
		return nil
	}
	return &f.Value
}

func list[T any](f *bootlog.Fact[[]T]) []T {
	if f == nil {
		return nil
	}
	return f.Value
}
