package verify_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/attesttest"
)

// TestTDXStatus follows Intel's algorithm: the first level that is reached,
// the word of the worst part, and the date of what is out of date.
func TestTDXStatus(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	p := m.Platform
	higher := func(svns [16]byte, at int) [16]byte { svns[at]++; return svns }
	level := attesttest.TDXPlatformLevel
	version := attesttest.TDXVersionLevel
	tdx := [16]byte{3, 0, 4}
	set := func(levels ...attesttest.TDXLevel) collateralChange {
		return func(c *attesttest.TDXCollateral) { c.TCB.Levels = levels }
	}
	qe := func(levels ...attesttest.TDXLevel) collateralChange {
		return func(c *attesttest.TDXCollateral) { c.QE.Levels = levels }
	}
	module := func(levels ...attesttest.TDXLevel) collateralChange {
		return func(c *attesttest.TDXCollateral) { c.TCB.Identities[0].Levels = levels }
	}
	v5 := (*attesttest.TDXQuote).V5
	const may, jan, old = "2026-05-13T00:00:00Z", "2026-01-14T00:00:00Z", "2023-08-09T00:00:00Z"
	type changes []collateralChange
	for _, c := range []struct {
		name       string
		quote      quoteChange
		changes    changes
		status     string
		date       string
		advisories []string
	}{
		{"up to date", nil, nil, "UpToDate", may, nil},
		{"hardening", nil, changes{set(level("SWHardeningNeeded", jan, p.SVNs, p.PCESVN, tdx, "INTEL-SA-2", "INTEL-SA-1"))}, "SWHardeningNeeded", jan, []string{"INTEL-SA-1", "INTEL-SA-2"}},
		{"configuration", nil, changes{set(level("ConfigurationNeeded", jan, p.SVNs, p.PCESVN, tdx))}, "ConfigurationNeeded", jan, nil},
		{"both", nil, changes{set(level("ConfigurationAndSWHardeningNeeded", jan, p.SVNs, p.PCESVN, tdx))}, "ConfigurationAndSWHardeningNeeded", jan, nil},
		{"out of date", nil, changes{set(level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx))}, "OutOfDate", jan, nil},
		{"out of date and configuration", nil, changes{set(level("OutOfDateConfigurationNeeded", jan, p.SVNs, p.PCESVN, tdx))}, "OutOfDateConfigurationNeeded", jan, nil},
		{"second level for lack of microcode", nil, changes{set(
			level("UpToDate", may, higher(p.SVNs, 0), p.PCESVN, tdx), level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx),
		)}, "OutOfDate", jan, nil},
		{"second level for lack of the last number", nil, changes{set(
			level("UpToDate", may, higher(p.SVNs, 15), p.PCESVN, tdx), level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx),
		)}, "OutOfDate", jan, nil},
		{"second level for an old PCE", nil, changes{set(
			level("UpToDate", may, p.SVNs, p.PCESVN+1, tdx), level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx),
		)}, "OutOfDate", jan, nil},
		{"second level for an old module", nil, changes{set(
			level("UpToDate", may, p.SVNs, p.PCESVN, higher(tdx, 0)), level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx),
		)}, "OutOfDate", jan, nil},
		{"the first level that is reached", nil, changes{set(
			level("SWHardeningNeeded", jan, p.SVNs, p.PCESVN, tdx), level("UpToDate", may, [16]byte{}, 0, [16]byte{}),
		)}, "SWHardeningNeeded", jan, nil},
		{"more than is demanded", nil, changes{set(level("UpToDate", jan, [16]byte{}, 0, [16]byte{}))}, "UpToDate", jan, nil},

		{"enclave out of date", nil, changes{qe(version("OutOfDate", old, 4, "INTEL-SA-3"))}, "OutOfDate", old, []string{"INTEL-SA-3"}},
		{"enclave of the second level", nil, changes{qe(version("UpToDate", may, 5), version("OutOfDate", jan, 4))}, "OutOfDate", jan, nil},
		{"enclave newer than needed", nil, changes{qe(version("UpToDate", old, 3))}, "UpToDate", may, nil},
		{"enclave out of date, hardening", nil, changes{
			set(level("SWHardeningNeeded", old, p.SVNs, p.PCESVN, tdx, "INTEL-SA-1")), qe(version("OutOfDate", jan, 4, "INTEL-SA-1", "INTEL-SA-3")),
		}, "OutOfDate", jan, []string{"INTEL-SA-1", "INTEL-SA-3"}},
		{"enclave out of date, configuration", nil, changes{
			set(level("ConfigurationNeeded", old, p.SVNs, p.PCESVN, tdx)), qe(version("OutOfDate", jan, 4)),
		}, "OutOfDateConfigurationNeeded", jan, nil},
		{"enclave out of date, both", nil, changes{
			set(level("ConfigurationAndSWHardeningNeeded", may, p.SVNs, p.PCESVN, tdx)), qe(version("OutOfDate", jan, 4)),
		}, "OutOfDateConfigurationNeeded", jan, nil},
		{"the earlier date", nil, changes{
			set(level("OutOfDate", old, p.SVNs, p.PCESVN, tdx)), qe(version("OutOfDate", jan, 4)),
		}, "OutOfDate", old, nil},
		{"the earlier date of the enclave", nil, changes{
			set(level("OutOfDate", jan, p.SVNs, p.PCESVN, tdx)), qe(version("OutOfDate", old, 4)),
		}, "OutOfDate", old, nil},

		{"line 1 of modules", v5, nil, "UpToDate", may, nil},
		{"module out of date", v5, changes{module(version("UpToDate", may, 7), version("OutOfDate", jan, 6, "INTEL-SA-4"))}, "OutOfDate", jan, []string{"INTEL-SA-4"}},
		// Some verifiers look at the module alone as soon as it has levels.
		{"platform out of date under a new module", v5, changes{set(level("OutOfDate", old, p.SVNs, p.PCESVN, tdx, "INTEL-SA-5"))}, "OutOfDate", old, []string{"INTEL-SA-5"}},
		{"the module's numbers do not count for the platform", v5, changes{set(level("UpToDate", jan, p.SVNs, p.PCESVN, [16]byte{99, 9, 4}))}, "UpToDate", jan, nil},
		{"launched under a module out of date", func(q *attesttest.TDXQuote) { q.V5(); q.Body[attesttest.TDXAtTCBSVN2] = 7 }, changes{
			module(version("UpToDate", may, 7), version("OutOfDate", jan, 6)),
		}, "OutOfDate", jan, nil},
		{"runs under a module out of date", func(q *attesttest.TDXQuote) { q.V5(); q.Body[attesttest.TDXAtTCBSVN] = 7 }, changes{
			module(version("UpToDate", may, 7), version("OutOfDate", jan, 6)),
		}, "OutOfDate", jan, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tdxRound(t, m)
			x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), c.quote)
			x.evidence.Endorsements = m.Collateral(t, func(all *attesttest.TDXCollateral) {
				for _, change := range c.changes {
					change(all)
				}
			})
			r, err := x.verify()
			check(t, err)
			date, err := time.Parse(time.RFC3339, c.date)
			check(t, err)
			if got := r.TDX; got.TCBStatus != c.status || !got.TCBDate.Equal(date) {
				t.Errorf("got %s, %v, want %s, %v", got.TCBStatus, got.TCBDate, c.status, date)
			}
			if diff := cmp.Diff(c.advisories, r.TDX.Advisories); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("revoked module", func(t *testing.T) {
		x := tdxRound(t, m)
		x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), v5)
		x.evidence.Endorsements = m.Collateral(t, module(version("Revoked", jan, 6)))
		x.refusedTDX(t, "ATT-032")
	})
}

// TestTDXPlatform: a machine keeps its name over a new certificate, and machines
// without a number of their own are told apart.
func TestTDXPlatform(t *testing.T) {
	platform := func(change func(*attesttest.TDXPlatform)) [32]byte {
		r, err := tdxRound(t, attesttest.NewTDX(t, tdxNow, change)).verify()
		check(t, err)
		return r.TDX.PlatformID
	}
	if platform(nil) != platform(func(p *attesttest.TDXPlatform) { p.PCESVN++ }) {
		t.Error("a new certificate makes another machine")
	}
	if platform(nil) == platform(func(p *attesttest.TDXPlatform) { p.PPID[0]++ }) {
		t.Error("another PPID makes no other machine")
	}
	masked := func(p *attesttest.TDXPlatform) { p.PPID = [16]byte{} }
	if one, other := platform(masked), platform(masked); one == other {
		t.Error("machines without PPID are one")
	}
}

// TestTDXCollateralTime: the earliest end counts, whichever piece has it.
func TestTDXCollateralTime(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	end := tdxNow.Add(time.Hour)
	for name, change := range map[string]collateralChange{
		"TCB info":    func(c *attesttest.TDXCollateral) { c.TCB.NextUpdate = end },
		"QE identity": func(c *attesttest.TDXCollateral) { c.QE.NextUpdate = end },
		"root":        func(c *attesttest.TDXCollateral) { c.RootCRL.NextUpdate = end },
		"issuer":      func(c *attesttest.TDXCollateral) { c.PCKCRL.NextUpdate = end },
	} {
		x := tdxRound(t, m)
		x.evidence.Endorsements = m.Collateral(t, change)
		r, err := x.verify()
		check(t, err)
		if !r.TDX.CollateralExpires.Equal(end) {
			t.Errorf("%s: got %v", name, r.TDX.CollateralExpires)
		}
	}
	x := tdxRound(t, m)
	x.evidence.Endorsements = m.Collateral(t, func(c *attesttest.TDXCollateral) { c.QE.Evaluation = 17 })
	r, err := x.verify()
	check(t, err)
	if r.TDX.TCBEvaluation != 17 {
		t.Errorf("got evaluation %d, want the older one", r.TDX.TCBEvaluation)
	}
}
