package attendant

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// logRate bounds, in bytes per second, what a container can make the log
// writer do: the writer is outside of the container's limits. A container that
// writes more has to wait in its write.
const logRate = 8 << 20

// runLogger is the process that writes a container's output to its file. The
// shim starts it with the pipes from the container as descriptors 3 and 4 and
// waits until descriptor 5 is closed (containerd, core/runtime/v2/README.md,
// "binary"). It ends when both pipes end. The arguments are "path" and a file,
// "owner" and the host's id of the container's root, in any order.
func runLogger(args []string) error {
	given := map[string]string{}
	for pair := range slices.Chunk(args, 2) {
		given[pair[0]] = pair[len(pair)-1]
	}
	owner, err := strconv.ParseUint(given["owner"], 10, 31)
	if len(args) != 4 || given["path"] == "" || err != nil {
		return errors.New("usage: " + LoggerName + " path FILE owner UID")
	}
	// One of these runs per container: little memory matters more than speed.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(8 << 20)
	// The shim asks to end when the container has ended, and what is still in
	// the pipes has to be written first.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)

	w, err := OpenLog(given["path"], MaxLogFile)
	if err != nil {
		return err
	}
	defer w.Close()
	// Programs open /dev/stdout and /dev/stderr anew, which asks for the owner of
	// the pipe. runc hands it on to the image's user, but only from a user that
	// the container's user namespace knows.
	for _, fd := range []int{3, 4} {
		if err := unix.Fchown(fd, int(owner), int(owner)); err != nil {
			return fmt.Errorf("giving the container its output: %w", err)
		}
	}
	ready := os.NewFile(5, "ready")
	if _, err := ready.Write([]byte{1}); err != nil {
		return fmt.Errorf("telling the shim: %w", err)
	}
	if err := ready.Close(); err != nil {
		return fmt.Errorf("telling the shim: %w", err)
	}
	var wg sync.WaitGroup
	for fd, stream := range map[uintptr]string{3: StreamOut, 4: StreamErr} {
		wg.Go(func() { copyLines(w, stream, os.NewFile(fd, stream)) })
	}
	wg.Wait()
	return nil
}

// copyLines writes r line by line until it ends. A failing disk must not stop
// the container, so what cannot be written is read and lost.
func copyLines(w *Log, stream string, r io.Reader) {
	in := bufio.NewReaderSize(r, MaxLine)
	var start time.Time
	var bytes int
	for {
		line, err := in.ReadSlice('\n')
		if n := len(line); n > 0 {
			full := line[n-1] == '\n'
			if full {
				line = line[:n-1]
			}
			// A piece of a line is partial unless the line ends with it; at the
			// end of the stream there is nothing more to come.
			_ = w.Write(Entry{At: time.Now(), Stream: stream, Partial: !full && err == bufio.ErrBufferFull, Text: line})
			if now := time.Now(); now.Sub(start) >= time.Second {
				start, bytes = now, 0
			}
			if bytes += n; bytes > logRate {
				time.Sleep(time.Until(start.Add(time.Second)))
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// Log is a log file that is moved aside when it is full: FILE, FILE.1, and so
// on, the oldest last; see [RotatedName]. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	path string
	max  int64
	f    *os.File
	size int64
	buf  []byte
}

// OpenLog opens or makes a log file of at most max bytes, which is then kept
// beside [LogFiles]-1 older ones.
func OpenLog(path string, max int64) (*Log, error) {
	w := &Log{path: path, max: max}
	return w, w.open()
}

func (w *Log) open() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w.f, w.size = f, st.Size()
	return nil
}

// Write appends an entry.
func (w *Log) Write(e Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = AppendEntry(w.buf[:0], e)
	if w.f != nil && w.size > 0 && w.size+int64(len(w.buf)) > w.max {
		w.rotate()
	}
	if w.f == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	n, err := w.f.Write(w.buf)
	w.size += int64(n)
	return err
}

func (w *Log) rotate() {
	w.f.Close()
	w.f = nil
	for i := LogFiles - 1; i > 0; i-- {
		// A file that is not there yet is no reason to stop.
		_ = os.Rename(RotatedName(w.path, i-1), RotatedName(w.path, i))
	}
}

// Close closes the file.
func (w *Log) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != nil {
		w.f.Close()
	}
}

// RotatedName is the name of the i-th file, 0 being the newest.
func RotatedName(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}
