package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// The reasons of refusals. All are InvalidArgument but ReasonTooLarge and
// ReasonDiskFull, which are ResourceExhausted.
const (
	// ReasonUnsafe is an entry that would reach out of the tree, or mean
	// different things to different readers.
	ReasonUnsafe = "files.unsafe"
	// ReasonTooLarge is a limit of [Limits].
	ReasonTooLarge = "files.too_large"
	// ReasonUnsupported is a format that is not read here.
	ReasonUnsupported = "files.unsupported"
	// ReasonConflict is a name that is taken, or is the same to a reader that
	// ignores case.
	ReasonConflict = "files.conflict"
	// ReasonMalformed is an archive that is truncated, damaged or followed by
	// something else.
	ReasonMalformed = "files.malformed"
	// ReasonRoot is a tree that has no single directory to strip.
	ReasonRoot = "files.root"
	// ReasonDiskFull is this machine's disk, not the upload.
	ReasonDiskFull = "files.disk_full"
)

// quoteBytes caps a stranger's name in an error text.
const quoteBytes = 160

func quote(name string) string {
	if len(name) <= quoteBytes {
		return strconv.Quote(name)
	}
	cut := quoteBytes
	for cut > quoteBytes-utf8.UTFMax && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return strconv.Quote(name[:cut]) + "…"
}

// refuse is an error about one entry of a part; the part itself has no entry name.
func (p *part) refuse(reason, entry, got, want string) *status.Error {
	what := p.String()
	if entry == "" {
		entry = "content"
	} else {
		entry = quote(entry)
	}
	e := status.Invalid(reason, what, []status.Fault{{Field: entry, Got: got, Want: want}})
	if reason == ReasonTooLarge {
		e.Code = status.ResourceExhausted
	}
	return e
}

func (p *part) unsafe(entry, got, want string) error {
	return p.refuse(ReasonUnsafe, entry, got, want)
}

func (p *part) tooLarge(entry, got string, limit int64, unit string) error {
	return p.refuse(ReasonTooLarge, entry, got, "at most "+strconv.FormatInt(limit, 10)+" "+unit)
}

func (p *part) malformed(entry, got, want string) error {
	return p.refuse(ReasonMalformed, entry, got, want)
}

// broken classifies an error of reading: the connection's or the context's own
// error, a limit that stopped the stream, or else damage.
func (p *part) broken(entry string, err error) error {
	for _, first := range []error{p.src.err, p.stop} {
		if first != nil && first != io.EOF {
			return sourceError(first)
		}
	}
	var known *status.Error
	if errors.As(err, &known) {
		return err
	}
	got := "damaged data"
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		got = "a truncated archive"
	}
	return status.Wrap(err, status.InvalidArgument, ReasonMalformed, "%s: %s in or after %s, want a whole archive", p, got, entryOrStart(entry)).
		WithHint("make the archive again and compare its digest before and after the transfer")
}

func entryOrStart(entry string) string {
	if entry == "" {
		return "its beginning"
	}
	return quote(entry)
}

func sourceError(err error) error {
	var known *status.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("reading the upload: %w", err)
}

// hostError classifies an error of this machine's file system. Its text, which
// may have a path of the host, stays in the cause.
func hostError(doing string, err error) error {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, full) {
			return status.Wrap(err, status.ResourceExhausted, ReasonDiskFull, "no space is left here for the files").
				WithHint("ask the operator to free disk space, or send less")
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a fifo"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}
