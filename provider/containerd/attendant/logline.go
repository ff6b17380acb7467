package attendant

import (
	"bytes"
	"time"
)

const (
	// MaxLine is the longest piece of a line in bytes; a longer line is written
	// in several, marked as such.
	MaxLine = 16 << 10
	// MaxLogFile and LogFiles bound what one container's output takes on disk:
	// three files of 10 MiB.
	MaxLogFile = 10 << 20
	LogFiles   = 3

	// StreamOut and StreamErr are the names of a container's streams.
	StreamOut = "stdout"
	StreamErr = "stderr"
)

// The format of a log file is that of Kubernetes' container runtime interface
// (CRI logging design): "TIME STREAM TAG TEXT\n", where TIME is RFC 3339 with
// nanoseconds and TAG is F for a full line and P for a piece of one that goes on.
const (
	tagFull    = 'F'
	tagPartial = 'P'
)

// Entry is one line of a log file.
type Entry struct {
	At     time.Time
	Stream string
	// Partial: the line goes on in the next entry.
	Partial bool
	Text    []byte
}

// AppendEntry formats an entry at the end of b.
func AppendEntry(b []byte, e Entry) []byte {
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, e.Stream...)
	tag := byte(tagFull)
	if e.Partial {
		tag = tagPartial
	}
	b = append(b, ' ', tag, ' ')
	b = append(b, e.Text...)
	return append(b, '\n')
}

// ParseEntry reads a line without its line break. It reports false for what a
// crash or a full disk left of one.
func ParseEntry(line []byte) (Entry, bool) {
	when, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return Entry{}, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(rest) < 2 || rest[1] != ' ' {
		return Entry{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(when))
	if err != nil {
		return Entry{}, false
	}
	e := Entry{At: at, Partial: rest[0] == tagPartial, Text: rest[2:]}
	switch string(stream) {
	case StreamOut:
		e.Stream = StreamOut
	case StreamErr:
		e.Stream = StreamErr
	default:
		return Entry{}, false
	}
	return e, rest[0] == tagFull || e.Partial
}
