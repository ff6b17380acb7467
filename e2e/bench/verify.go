package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// verifications are the Go benchmarks of verification and appraisal, one core
// each, and what is aimed at.
var verifications = []struct {
	pkg, name, measure string
	// least is verifications per second; most is microseconds. 0 means no aim.
	least, most float64
}{
	{"./attest/verify", "BenchmarkTPMQuote", "verifications of a TPM quote, one core", 5000, 0},
	{"./attest/verify", "BenchmarkTPMBootLog", "the same with a boot log", 0, 0},
	{"./attest/verify", "BenchmarkSNPCached", "verifications of an SNP report, chain known", 1200, 0},
	{"./attest/verify", "BenchmarkTDX", "verifications of a TDX quote with collateral", 400, 0},
	{"./attest/verify", "BenchmarkComposite", "verifications of a report and a TPM quote", 0, 0},
	{"./attest/policy", "BenchmarkAppraise", "appraisal by a policy", 0, 100},
}

// cost is what one operation took.
type cost struct{ nanoseconds, allocations float64 }

// verify measures what one core verifies and appraises.
func (b *bench) verify(ctx context.Context) error {
	costs := map[string][]cost{}
	for _, pkg := range []string{"./attest/verify", "./attest/policy"} {
		note("benchmarks of %s, %d times", pkg, b.n)
		if err := goBench(ctx, pkg, b.n, costs); err != nil {
			return err
		}
	}
	for _, v := range verifications {
		// A benchmark of several cases counts by its slowest.
		var name string
		for got := range costs {
			if base, _, _ := strings.Cut(got, "/"); base == v.name && (name == "" || mean(costs[got]) > mean(costs[name])) {
				name = got
			}
		}
		if name == "" {
			return fmt.Errorf("%s did not run", v.name)
		}
		var ours sample
		for _, c := range costs[name] {
			if v.most > 0 {
				ours = append(ours, c.nanoseconds/1e3)
			} else {
				ours = append(ours, 1e9/c.nanoseconds)
			}
		}
		unit := "/s"
		if v.most > 0 {
			unit = "µs"
		}
		measure := fmt.Sprintf("%s (%.0f allocations)", v.measure, costs[name][0].allocations)
		b.table.add(row{measure: measure, ours: ours, yardstick: "-", unit: unit, least: v.least, most: v.most})
	}
	return nil
}

func mean(all []cost) float64 {
	var sum float64
	for _, c := range all {
		sum += c.nanoseconds
	}
	return sum / float64(len(all))
}

// goBench runs a package's benchmarks and adds what they print, by name. The
// output is that of `go test -bench`: "BenchmarkName  N  123 ns/op  4 B/op  5 allocs/op",
// with a benchmark's own measures in between.
func goBench(ctx context.Context, pkg string, times int, into map[string][]cost) error {
	var names []string
	for _, v := range verifications {
		if v.pkg == pkg {
			names = append(names, v.name)
		}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^("+strings.Join(names, "|")+")$",
		"-benchmem", "-cpu", "1", "-count", strconv.Itoa(times), pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		var c cost
		for n := 2; n+1 < len(f); n += 2 {
			value, err := strconv.ParseFloat(f[n], 64)
			if err != nil {
				return err
			}
			switch f[n+1] {
			case "ns/op":
				c.nanoseconds = value
			case "allocs/op":
				c.allocations = value
			}
		}
		into[f[0]] = append(into[f[0]], c)
	}
	return nil
}
