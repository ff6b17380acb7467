package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"apocryph/attest/commit"
)

// file is an entry of a tree, of any depth.
type file struct {
	mode, kind, id, path string
}

const (
	// entryLine caps a line of git ls-tree: mode, kind, id and a path. Longer
	// paths are refused by the tree that is filled, which has the limit to show.
	entryLine = 64 << 10
	// headLine caps a line of git cat-file --batch: an id, a kind and a size.
	headLine = 128
	// maxTree caps the list of a tree's files, which is held: each has its whole path,
	// and a few small trees within each other make long ones of many files. It is what
	// the entries of [DefaultLimits] have with the longest names that a tree takes.
	maxTree = 128 << 20
)

var errBatch = errors.New("git wrote what it does not write")

// readTree reads the output of git ls-tree -r -z: "MODE SP KIND SP ID TAB PATH NUL".
func readTree(r io.Reader, max int) ([]file, error) {
	var all []file
	s := bufio.NewScanner(&upTo{r: r, n: maxTree})
	s.Buffer(nil, entryLine)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		for i, b := range data {
			if b == 0 {
				return i + 1, data[:i], nil
			}
		}
		if atEOF && len(data) > 0 {
			return 0, nil, errBatch
		}
		return 0, nil, nil
	})
	for s.Scan() {
		head, path, ok := strings.Cut(s.Text(), "\t")
		f := strings.Split(head, " ")
		if !ok || len(f) != 3 || !commit.IsID(f[2]) || path == "" {
			return nil, errBatch
		}
		if len(all) == max {
			return nil, errOutput
		}
		all = append(all, file{mode: f[0], kind: f[1], id: f[2], path: path})
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return nil, errOutput
	}
	return all, s.Err()
}

// batch asks git cat-file --batch for one object after the other.
type batch struct {
	w io.Writer
	r *bufio.Reader
}

// blob calls read with the contents of a blob, and discards what it leaves.
func (b *batch) blob(id string, read func(io.Reader, int64) error) error {
	if _, err := io.WriteString(b.w, id+"\n"); err != nil {
		return fmt.Errorf("asking for an object: %w", err)
	}
	size, err := readHead(b.r, id, "blob")
	if err != nil {
		return err
	}
	body := &io.LimitedReader{R: b.r, N: size}
	if err := read(&whole{body}, size); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, &whole{body}); err != nil {
		return err
	}
	if end, err := b.r.ReadByte(); err != nil || end != '\n' {
		return errBatch
	}
	return nil
}

// readHead reads "ID SP KIND SP SIZE LF".
func readHead(r *bufio.Reader, id, kind string) (int64, error) {
	var line []byte
	for {
		c, err := r.ReadByte()
		if err != nil || len(line) > headLine {
			return 0, errBatch
		}
		if c == '\n' {
			break
		}
		line = append(line, c)
	}
	rest, ok := strings.CutPrefix(string(line), id+" "+kind+" ")
	size, err := strconv.ParseInt(rest, 10, 64)
	if !ok || err != nil || size < 0 || rest != strconv.FormatInt(size, 10) {
		return 0, errBatch
	}
	return size, nil
}

// whole makes an end that comes too early an error.
type whole struct{ *io.LimitedReader }

func (w *whole) Read(b []byte) (int, error) {
	n, err := w.LimitedReader.Read(b)
	if err == io.EOF && w.N > 0 {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
