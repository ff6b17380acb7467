package harness

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Stream is a publisher's command that goes on until it is ended.
type Stream struct {
	p     *Publisher
	cmd   *exec.Cmd
	lines chan string
	// seen are the lines so far.
	seen   []string
	stderr syncBuffer
}

// Stream starts a command. It is killed when the test ends.
func (p *Publisher) Stream(args ...string) *Stream {
	p.t.Helper()
	s := &Stream{p: p, cmd: p.Cmd(args...), lines: make(chan string, 1<<10)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s.cmd.Stderr = &s.stderr
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go s.read(out)
	p.t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			for range s.lines {
				// Wait may not be called before everything is read.
			}
			_ = s.cmd.Wait()
		}
	})
	return s
}

func (s *Stream) read(out io.Reader) {
	defer close(s.lines)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		s.lines <- sc.Text()
	}
}

// Until waits for a line of standard output that has all of texts.
func (s *Stream) Until(texts ...string) string {
	s.p.t.Helper()
	for {
		line, ok := s.next()
		if !ok {
			s.p.t.Fatalf("waited in vain for %q:\n%s\n%s", texts, strings.Join(s.seen, "\n"), s.stderr.String())
		}
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(line, text)
		}
		if !missing {
			return line
		}
	}
}

// next is false at the end of the output, and after a minute.
func (s *Stream) next() (string, bool) {
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case line, ok := <-s.lines:
		if ok {
			s.seen = append(s.seen, line)
		}
		return line, ok
	case <-deadline.C:
		return "", false
	}
}

// Ends waits until the command ends by itself, with this exit code and each of
// texts on standard error. It returns all lines of standard output.
func (s *Stream) Ends(exit int, texts ...string) []string {
	s.p.t.Helper()
	for {
		if _, ok := s.next(); !ok {
			break
		}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.cmd.Wait() }()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	select {
	case <-ended:
	case <-deadline.C:
		_ = s.cmd.Process.Kill()
		<-ended
		s.p.t.Errorf("the command did not end")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != exit {
		s.p.t.Errorf("exit %d, want %d\n%s\n%s", got, exit, strings.Join(s.seen, "\n"), s.stderr.String())
	}
	for _, text := range texts {
		if !strings.Contains(s.stderr.String(), text) {
			s.p.t.Errorf("standard error lacks %q:\n%s", text, s.stderr.String())
		}
	}
	return s.seen
}
