package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	dir   string // scratch, on the disk that is measured
	bin   string // the two programs
	bases string // base images
	self  string // this program
	n     int
	big   int // MiB of the image that is fetched
	cold  int // MiB of the image that is deployed cold
	huge  int // MiB of the image that memory is measured with
	large int // MiB of the artifact that is uploaded
	table table
	// timings is how many began, disturbed how many of them on a busy machine.
	timings, disturbed int
}

// group is rows that are measured together.
type group struct {
	name string
	run  func(*bench, context.Context) error
}

var groups = []group{
	{"fetch", (*bench).fetchLoopback},
	{"link", (*bench).fetchLinks},
	{"warm", (*bench).warm},
	{"cold", (*bench).coldDeploy},
	{"attest", (*bench).attest},
	{"verify", (*bench).verify},
	{"flood", (*bench).flood},
	{"upload", (*bench).uploads},
	{"direct", (*bench).direct},
	{"slow", (*bench).slow},
	{"reads", (*bench).reads},
	{"updates", (*bench).updates},
	{"source", (*bench).source},
	{"size", (*bench).size},
	{"memory", (*bench).memory},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "role" {
		if err := play(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	var b bench
	rows := flag.String("rows", strings.Join(names, ","), "what to measure")
	flag.IntVar(&b.n, "n", 5, "how often each timing is taken")
	flag.IntVar(&b.big, "mb", 512, "MiB of the image that is fetched")
	flag.IntVar(&b.cold, "cold-mb", 100, "MiB of the image that is deployed cold")
	flag.IntVar(&b.huge, "memory-mb", 2048, "MiB of the image that memory is measured with")
	flag.IntVar(&b.large, "upload-mb", 1024, "MiB of the artifact that is uploaded")
	flag.StringVar(&b.bin, "bin", "bin", "where the two programs are")
	flag.StringVar(&b.bases, "bases", "bin/bases", "where `make bases` wrote the base images")
	scratch := flag.String("dir", "", "scratch directory on the disk to measure (default: a temporary one)")
	flag.Parse()
	wanted := strings.Split(*rows, ",")
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return fmt.Errorf("row %q: want one of %s", w, strings.Join(names, ", "))
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("containers and network namespaces need root")
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.bases, err = filepath.Abs(b.bases); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(*scratch, "bench"); err != nil {
		return err
	}
	// The users of containers pass through it.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	before, start := load(), time.Now()
	for _, g := range groups {
		if !slices.Contains(wanted, g.name) {
			continue
		}
		if err := g.run(&b, ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	fmt.Print(b.table.markdown())
	fmt.Printf("\n%s\nLoad average %s before and %s after %s. %d of %d timings began while something else kept the processors busy.\n",
		machine(b.dir), before, load(), time.Since(start).Round(time.Second), b.disturbed, b.timings)
	return nil
}

// note tells who waits what is being measured.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// image writes the sample app with mb MiB of random bytes beside it as an OCI
// layout, in layers of at most 128 MiB, and returns its directory.
func (b *bench) image(ctx context.Context, mb, seed int) (string, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("image-%d-%d", mb, seed))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./e2e/sample", "-o", dir, "-pad", fmt.Sprint(mb<<20),
		"-layers", fmt.Sprint(max(1, mb/128)), "-seed", fmt.Sprint(1000*seed+1))
	cmd.Stderr = os.Stderr
	return dir, cmd.Run()
}
