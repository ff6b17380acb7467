package harness

import (
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

var images sync.Map // name -> func() (string, error)

// Image makes the sample app's image once per process, with pad random bytes
// in further layers, and returns its layout's directory.
func (w *World) Image(pad int64, seed int) string {
	w.t.Helper()
	return w.image("./e2e/sample/app", pad, seed)
}

// Probe makes the image of the runtime tests' program, which can misbehave.
func (w *World) Probe() string {
	w.t.Helper()
	return w.image("./provider/runtimetest/probe", 0, 0)
}

func (w *World) image(app string, pad int64, seed int) string {
	w.t.Helper()
	bins, err := build()
	if err != nil {
		w.t.Fatal(err)
	}
	dir := bins + "/image" + strings.NewReplacer("/", "-", ".", "").Replace(app) + "-" + strconv.FormatInt(pad, 10) + "-" + strconv.Itoa(seed)
	make, _ := images.LoadOrStore(dir, sync.OnceValue(func() error {
		cmd := exec.Command("go", "run", "./e2e/sample", "-o", dir, "-app", app, "-pad", strconv.FormatInt(pad, 10), "-seed", strconv.Itoa(seed))
		cmd.Dir = root()
		if out, err := cmd.CombinedOutput(); err != nil {
			return &buildError{app, string(out)}
		}
		return nil
	}))
	if err := make.(func() error)(); err != nil {
		w.t.Fatal(err)
	}
	return dir
}
