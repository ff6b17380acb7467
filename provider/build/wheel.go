package build

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"apocryph/proto/status"
)

const (
	// maxWheel bounds a wheel in bytes; the largest that anybody publishes have 2 to 3 GB.
	maxWheel = 4 << 30
	// maxRecord and maxMetadata bound, in bytes, what of a wheel is held in memory.
	maxRecord   = 16 << 20
	maxMetadata = 1 << 20
)

// wheel is a wheel's archive (binary distribution format, PyPA specifications), looked through.
type wheel struct {
	file   string
	sha256 string
	name   wheelName
	zip    *zip.Reader
	// info is the name of its .dist-info directory.
	info    string
	record  map[string]recorded
	license string
}

// recorded is a line of RECORD.
type recorded struct {
	algorithm string
	sum       []byte
}

func badWheel(file, format string, args ...any) *status.Error {
	return status.New(status.InvalidArgument, "build.wheel", "%.200q: %s", file, fmt.Sprintf(format, args...))
}

// openWheel reads a wheel's tables. Its files are read by unpack, which holds each
// to RECORD.
func openWheel(file string, r io.ReaderAt, size int64) (*wheel, error) {
	w := &wheel{file: file}
	var err error
	if w.name, err = parseWheelName(path.Base(file)); err != nil {
		return nil, err
	}
	if size > maxWheel {
		return nil, badWheel(file, "got %d bytes, want at most %d", size, int64(maxWheel))
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size)); err != nil {
		return nil, fmt.Errorf("reading wheel: %w", err)
	}
	w.sha256 = hex.EncodeToString(sum.Sum(nil))
	if w.zip, err = zip.NewReader(r, size); err != nil {
		return nil, badWheel(file, "it is no zip archive, or it is damaged")
	}
	if len(w.zip.File) > maxFiles {
		return nil, badWheel(file, "it has %d files, want at most %d", len(w.zip.File), maxFiles)
	}
	if err := w.look(); err != nil {
		return nil, err
	}
	return w, nil
}

// look checks names and kinds, and reads RECORD and METADATA.
func (w *wheel) look() error {
	var record, metadata *zip.File
	seen := make(map[string]bool, len(w.zip.File))
	for _, f := range w.zip.File {
		name := strings.TrimSuffix(f.Name, "/")
		if !safeName(name) {
			return badWheel(w.file, "got a file named %.200q, want a path within the wheel", f.Name)
		}
		if kind := f.Mode().Type(); kind != 0 && kind != fs.ModeDir {
			return badWheel(w.file, "%.200q: got a special file (%s), want files only", name, kind)
		}
		if f.FileInfo().IsDir() {
			continue
		}
		if seen[name] {
			return badWheel(w.file, "%.200q is in it twice", name)
		}
		seen[name] = true
		dir, base := path.Split(name)
		if dir = strings.TrimSuffix(dir, "/"); !strings.HasSuffix(dir, ".dist-info") || strings.Contains(dir, "/") {
			continue
		}
		switch base {
		case "RECORD":
			if record != nil {
				return badWheel(w.file, "it has two .dist-info directories")
			}
			record, w.info = f, dir
		case "METADATA":
			metadata = f
		}
	}
	if record == nil || metadata == nil || path.Dir(metadata.Name) != w.info {
		return badWheel(w.file, "it has no .dist-info directory with RECORD and METADATA")
	}
	if name, version, _ := strings.Cut(strings.TrimSuffix(w.info, ".dist-info"), "-"); normalName(name) != w.name.dist || !sameVersion(version, w.name.version) {
		return badWheel(w.file, "got the directory %.200q, want that of the wheel's name", w.info)
	}
	data, err := w.small(record, maxRecord)
	if err != nil {
		return err
	}
	if w.record, err = parseRecord(w.file, data); err != nil {
		return err
	}
	if data, err = w.small(metadata, maxMetadata); err != nil {
		return err
	}
	w.license = licenseOf(data)
	return nil
}

// small reads a file of the archive whole.
func (w *wheel) small(f *zip.File, most uint64) ([]byte, error) {
	if f.UncompressedSize64 > most {
		return nil, badWheel(w.file, "%.200q: got %d bytes, want at most %d", f.Name, f.UncompressedSize64, most)
	}
	rc, err := f.Open()
	if err != nil {
		return nil, badWheel(w.file, "%.200q cannot be unpacked", f.Name)
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, int64(most)+1))
	if err != nil || uint64(len(data)) > most {
		return nil, badWheel(w.file, "%.200q cannot be unpacked, or is longer than it says", f.Name)
	}
	return data, nil
}

// parseRecord reads lines of path, hash and size ("Recording installed projects").
func parseRecord(file string, data []byte) (map[string]recorded, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = 3
	out := map[string]recorded{}
	for {
		line, err := r.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, badWheel(file, "RECORD is not CSV of three fields")
		}
		if line[1] == "" {
			continue
		}
		algorithm, text, _ := strings.Cut(line[1], "=")
		sum, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || newHash(algorithm) == nil || len(sum) != newHash(algorithm).Size() {
			return nil, badWheel(file, "RECORD: %.200q: got the hash %.80q, want sha256, sha384 or sha512", line[0], line[1])
		}
		if _, err := strconv.ParseUint(line[2], 10, 63); line[2] != "" && err != nil {
			return nil, badWheel(file, "RECORD: %.200q: got the size %.40q", line[0], line[2])
		}
		out[line[0]] = recorded{algorithm, sum}
	}
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// licenseOf reads the License-Expression of core metadata 2.4, an SPDX expression.
func licenseOf(data []byte) string {
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		line := s.Text()
		if line == "" {
			return ""
		}
		if v, ok := strings.CutPrefix(line, "License-Expression:"); ok && len(v) < 200 {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// unpack puts the wheel's modules into a directory of them, and says what it left out.
// Scripts are not needed: the image has one command.
func (w *wheel) unpack(to *staging) (left int, err error) {
	data := strings.TrimSuffix(w.info, ".dist-info") + ".data/"
	for _, f := range w.zip.File {
		if f.FileInfo().IsDir() {
			continue
		}
		name := f.Name
		if rest, ok := strings.CutPrefix(name, data); ok {
			scheme, rest, _ := strings.Cut(rest, "/")
			if scheme != "purelib" && scheme != "platlib" {
				left++
				continue
			}
			name = rest
		}
		if !safeName(name) {
			return left, badWheel(w.file, "got a file named %.200q, want a path within the wheel", f.Name)
		}
		if err := w.one(f, name, to); err != nil {
			return left, err
		}
	}
	return left, nil
}

// one unpacks one file.
func (w *wheel) one(f *zip.File, name string, to *staging) error {
	want, ok := w.record[f.Name]
	if !ok && !unrecorded(f.Name, w.info) {
		return badWheel(w.file, "%.200q is not in RECORD", f.Name)
	}
	rc, err := f.Open()
	if err != nil {
		return badWheel(w.file, "%.200q cannot be unpacked", f.Name)
	}
	defer rc.Close()
	var (
		r   io.Reader = rc
		sum hash.Hash
	)
	if ok {
		sum = newHash(want.algorithm)
		r = io.TeeReader(rc, sum)
	}
	if err := to.add(name, f.Mode()&0o111 != 0, int64(f.UncompressedSize64), r); err != nil {
		var known *status.Error
		if errors.As(err, &known) {
			return fmt.Errorf("unpacking %s: %w", path.Base(w.file), err)
		}
		if ctx := to.ctx.Err(); ctx != nil {
			return ctx
		}
		return badWheel(w.file, "%.200q cannot be unpacked", f.Name)
	}
	if ok && !bytes.Equal(sum.Sum(nil), want.sum) {
		return badWheel(w.file, "%.200q has another hash than in RECORD", f.Name)
	}
	return nil
}

// unrecorded are the files that RECORD cannot have the hash of.
func unrecorded(name, info string) bool {
	rest, ok := strings.CutPrefix(name, info+"/RECORD")
	return ok && (rest == "" || rest == ".jws" || rest == ".p7s")
}
