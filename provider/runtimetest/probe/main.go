// Command probe is the program in the image of the runtime test suite.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apocryph/provider/runtimetest/script"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	os.Exit(script.Run(&machine{stop: stop}, os.Args[1:], other))
}

type machine struct{ stop chan os.Signal }

func (m *machine) Print(stream, line string) {
	if stream == "stderr" {
		fmt.Fprintln(os.Stderr, line)
		return
	}
	fmt.Println(line)
}

func (m *machine) Getenv(name string) (string, bool)    { return os.LookupEnv(name) }
func (m *machine) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (m *machine) WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func (m *machine) Lookup(name string) (string, error) {
	addrs, err := net.LookupHost(name)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}

func (m *machine) Sleep(stubborn bool) bool {
	for {
		<-m.stop
		if !stubborn {
			return true
		}
	}
}

// other are the commands that only a real runtime is tested with.
func other(cmd string, args []string) (error, bool) {
	switch cmd {
	case "serve":
		// serve ADDRESS TEXT: answers every request, for ever, in the background.
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return err, true
		}
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, args[1]) }))
		}()
		return nil, true
	case "get":
		return get(args[0]), true
	case "dial":
		// dial NETWORK ADDRESS: fails unless the connection is made.
		c, err := net.DialTimeout(args[0], args[1], 3*time.Second)
		if err != nil {
			return err, true
		}
		return c.Close(), true
	case "shut":
		// shut ADDRESS...: fails if a connection is made to any of them.
		for _, a := range args {
			if c, err := net.DialTimeout("tcp", a, 2*time.Second); err == nil {
				return errors.Join(fmt.Errorf("%s is open", a), c.Close()), true
			}
		}
		return nil, true
	case "swell":
		// swell FILE MIB: writes a file of so many MiB, whose directories it makes.
		n, err := strconv.Atoi(args[1])
		if err == nil {
			err = (&machine{}).WriteFile(args[0], make([]byte, n<<20))
		}
		return err, true
	case "denied":
		// denied r|w FILE...: fails if one of them can be read, or opened for writing.
		for _, a := range args[1:] {
			flag := map[string]int{"r": os.O_RDONLY, "w": os.O_WRONLY}[args[0]]
			f, err := os.OpenFile(a, flag, 0)
			if err != nil {
				continue
			}
			n, err := f.Read(make([]byte, 16))
			_ = f.Close()
			if flag == os.O_WRONLY || err == nil && n > 0 {
				return fmt.Errorf("%s can be opened", a), true
			}
		}
		return nil, true
	case "ask":
		return ask(args[0], args[1]), true
	case "eat":
		return eat(args[0]), true
	case "fork":
		return fork(args[0]), true
	case "burn":
		return burn(args[0]), true
	case "proc":
		return proc(), true
	case "stat":
		return stat(args), true
	case "flood":
		return flood(args[0]), true
	case "bigline":
		n, err := strconv.Atoi(args[0])
		fmt.Println(strings.Repeat("x", n))
		return err, true
	case "lines":
		n, err := strconv.Atoi(args[0])
		for i := range n {
			fmt.Println("line", i)
		}
		return err, true
	}
	return nil, false
}

func get(url string) error {
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	fmt.Println(r.StatusCode, string(body))
	return err
}

// ask resolves a name at a DNS server, over UDP.
func ask(server, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server)
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	addrs, err := r.LookupHost(ctx, name)
	fmt.Println(addrs)
	return err
}

func eat(bytes string) error {
	n, err := strconv.Atoi(bytes)
	if err != nil {
		return err
	}
	var kept [][]byte
	for range n >> 20 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("ate", len(kept), "MiB")
	return nil
}

// fork starts processes that stay, until one cannot be started, and says how many.
func fork(limit string) error {
	n, err := strconv.Atoi(limit)
	if err != nil {
		return err
	}
	for i := range n {
		c := exec.Command(os.Args[0], "stubborn")
		c.Env = append(os.Environ(), "GOMAXPROCS=1")
		if err := c.Start(); err != nil {
			fmt.Println("forked", i, "then", err)
			return nil
		}
	}
	fmt.Println("forked", n)
	return nil
}

// burn computes for a time and writes the processor time that it got, in milliseconds.
func burn(d string) error {
	t, err := time.ParseDuration(d)
	if err != nil {
		return err
	}
	for range 4 {
		go func() {
			for {
				_ = 0
			}
		}()
	}
	time.Sleep(t)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	fmt.Println("burnt", used.Milliseconds())
	return nil
}

// proc writes what the kernel says of the process's privileges.
func proc() error {
	for _, f := range []string{"/proc/self/status", "/proc/self/uid_map", "/proc/self/limits", "/proc/mounts"} {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		fmt.Println(string(data))
	}
	return nil
}

// stat writes mode and owner of files.
func stat(paths []string) error {
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		fmt.Println(p, st.Mode(), sys.Uid, sys.Gid)
	}
	return nil
}

// flood writes as many bytes as it can for a time.
func flood(d string) error {
	t, err := time.ParseDuration(d)
	if err != nil {
		return err
	}
	line := strings.Repeat("y", 999) + "\n"
	for end := time.Now().Add(t); time.Now().Before(end); {
		if _, err := io.WriteString(os.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}
