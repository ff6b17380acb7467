package measure

import (
	"os"
	"testing"

	"apocryph/attest/podlog"
	"apocryph/provider"
)

// A process that is killed within each write and around every sync and
// extension, and whose successor is killed at each step of its recovery,
// neither extends twice nor loses what was extended or acknowledged.
func TestKilledAnywhere(t *testing.T) {
	const events = 2
	kills := 0
	begun := t.TempDir()
	l, _ := start(t, config(begun, newMachine()), newMachine())
	must(t, l.Close())
	for first := 0; ; first++ {
		var finished bool
		for second := 0; second < 40; second++ {
			m := newMachine()
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(begun)))
			init, err := podlog.Begin(m.small[:], m.large[:])
			must(t, err)
			acknowledged := 0
			life := func() {
				l, _ := start(t, config(dir, m), m)
				defer func() { _ = l.Close() }()
				for n := acknowledged; n < events; n++ {
					must(t, l.Append(t.Context(), "pod", event("pod", n)))
					acknowledged++
				}
			}
			m.left = first
			finished = !dies(life)
			if finished {
				break
			}
			kills++
			m.left = second
			over := !dies(life)
			m.left = -1
			if !over {
				kills++
				life()
			}
			l, _ := start(t, config(dir, m), m)
			h := judge(t, l, m, init)
			if got := opened(t, l, "pod"); len(got) != len(h.Records) || len(got) < events {
				t.Fatalf("killed at %d and %d: %d of %d records can be opened", first, second, len(got), len(h.Records))
			}
			must(t, l.Close())
			if over && second > 0 {
				break // the recovery takes no more steps than that
			}
		}
		if finished {
			break
		}
	}
	if kills < 300 {
		t.Errorf("only %d kills: the test does not reach all", kills)
	}
}

// Without a register the journal is the log, and survives the same.
func TestKilledAnywhereWithoutRegister(t *testing.T) {
	kills := 0
	for first := 0; ; first++ {
		m, dir, acknowledged := newMachine(), t.TempDir(), 0
		life := func() {
			l, _ := start(t, config(dir, nil), m)
			defer func() { _ = l.Close() }()
			must(t, l.Append(t.Context(), "pod", event("pod", acknowledged)))
			acknowledged++
		}
		m.left = first
		finished := !dies(life)
		m.left = -1
		if !finished {
			kills++
			life()
		}
		l, _ := start(t, config(dir, nil), m)
		h, err := l.Hold(t.Context())
		must(t, err)
		h.Release()
		want, err := podlog.Replay(h.Records, podlog.Head{})
		must(t, err)
		if h.Register != provider.NoRegister || h.Head != want || len(h.Records) < acknowledged || len(opened(t, l, "pod")) != len(h.Records) {
			t.Fatalf("killed at %d: got %+v of %d acknowledged", first, h, acknowledged)
		}
		must(t, l.Close())
		if finished {
			break
		}
	}
	if kills < 12 {
		t.Errorf("only %d kills: the test does not reach all", kills)
	}
}
