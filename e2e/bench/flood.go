package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	attestation "apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

const (
	// crowd is how many publishers come at once: fifteen times as many as calls
	// are served at once.
	crowd = 1000
	// crowdFiles is how many descriptors this process has open then, at most: a
	// socket for each publisher, its poller's three, and what others need.
	crowdFiles = 8 * crowd
	// crowdTime bounds the whole of it.
	crowdTime = 10 * time.Minute
	// shownLosses is how many lost calls are printed.
	shownLosses = 5
)

// flood measures what becomes of a crowd that attests one provider at once, and
// of the provider.
func (b *bench) flood(ctx context.Context) (err error) {
	if err := allowFiles(crowdFiles); err != nil {
		return err
	}
	t := &maker{ctx: ctx}
	defer t.finish(&err)
	p, err := b.provider(ctx, "flood-provider", "--tee", "tpm2", "--tpm", attesttest.SWTPM(t).Path)
	if err != nil {
		return err
	}
	defer p.stop()
	file, err := b.policy(ctx, "flood", p)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pol, err := policy.Parse(text)
	if err != nil {
		return err
	}
	to, err := publisherd.ParseTarget(p.addr())
	if err != nil {
		return err
	}
	note("making %d publishers", crowd)
	all := make([]*visitor, crowd)
	for i := range all {
		if all[i], err = newVisitor(p.addr()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, all[i].host.Close()) }()
	}
	b.settle(ctx)
	if err := forgetPeak(p.cmd.Process.Pid); err != nil {
		return err
	}
	before := statusKB(p.cmd.Process.Pid, "VmHWM")
	note("%d publishers attest", crowd)
	ctx, cancel := context.WithTimeout(ctx, crowdTime)
	defer cancel()
	var group sync.WaitGroup
	begin := make(chan struct{})
	for _, v := range all {
		group.Go(func() {
			<-begin
			v.visit(ctx, to, pol)
		})
	}
	close(begin)
	group.Wait()
	b.floodRows(all, statusKB(p.cmd.Process.Pid, "VmHWM")-before)
	return nil
}

// floodRows says what became of all, and by how many KiB the provider grew.
func (b *bench) floodRows(all []*visitor, grownKB float64) {
	var verdicts, first, told, tries, hungUp, lost, most float64
	var took sample
	var shown int
	for _, v := range all {
		tries += float64(v.refusals)
		hungUp += float64(v.hungUp)
		most = max(most, float64(v.refusals))
		lost += float64(len(v.lost))
		for _, err := range v.lost {
			if shown++; shown <= shownLosses {
				note("lost: %v", err)
			}
		}
		if v.took == 0 {
			continue
		}
		verdicts++
		took = append(took, v.took.Seconds())
		if v.refusals == 0 {
			first++
		} else {
			told++
		}
	}
	count := func(measure string, f, least float64) {
		b.table.add(row{measure: measure, ours: sample{f}, yardstick: "-", least: least})
	}
	count(fmt.Sprintf("%d publishers attest at once, TPM 2.0 (swtpm): verdicts that affirm", crowd), verdicts, crowd)
	count("the same: served at first ask", first, 0)
	count(fmt.Sprintf("the same: told when to come back, then served (%.0f times in all, %.0f of them while connecting; one at most %.0f times)", tries, hungUp, most), told, 0)
	count("the same: calls lost", lost, 0)
	b.table.add(row{measure: "the same: until a publisher has its verdict", ours: took, yardstick: "-", unit: "s"})
	if len(took) > 0 {
		b.table.add(row{measure: "the same: until all have", ours: sample{slices.Max(took)}, yardstick: "-", unit: "s"})
	}
	b.table.add(row{measure: "the same: provider, RSS from idle to peak", ours: sample{grownKB * 1024 / 1e6}, yardstick: "-", unit: "MB"})
}

// visit attests as often as it takes; a refusal is heeded, anything else is a loss.
func (v *visitor) visit(ctx context.Context, to publisher.Target, pol *policy.Policy) {
	start := time.Now()
	for {
		a, err := v.service.Attest(ctx, to, pol, attestation.PurposeProvision, nil)
		if err == nil && a.Verdict.Affirmed {
			v.took = time.Since(start)
			return
		}
		if err == nil {
			err = errors.New("the verdict denies")
		}
		wait, ok := toldToWait(err)
		if !ok {
			if !repeated(err) {
				v.lost = append(v.lost, err)
			}
			return
		}
		v.refusals++
		if status.ReasonOf(err) == "peer.hung_up" {
			v.hungUp++
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			v.lost = append(v.lost, ctx.Err())
			return
		}
	}
}

// allowFiles makes room for n open files.
func allowFiles(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if l.Cur >= n {
		return nil
	}
	l.Cur, l.Max = n, max(n, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("allowing %d open files: %w", n, err)
	}
	return nil
}
