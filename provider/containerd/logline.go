package containerd

import (
	"bytes"
	"time"
)

const (
	// maxLine is the longest piece of a line in bytes; a longer line is written
	// in several, marked as such.
	maxLine = 16 << 10
	// maxLogFile and logFiles bound what one container's output takes on disk:
	// three files of 10 MiB.
	maxLogFile = 10 << 20
	logFiles   = 3

	streamOut = "stdout"
	streamErr = "stderr"
)

// The format of a log file is that of Kubernetes' container runtime interface
// (CRI logging design): "TIME STREAM TAG TEXT\n", where TIME is RFC 3339 with
// nanoseconds and TAG is F for a full line and P for a piece of one that goes on.
const (
	tagFull    = 'F'
	tagPartial = 'P'
)

// entry is one line of a log file.
type entry struct {
	at      time.Time
	stream  string
	partial bool
	text    []byte
}

// appendEntry formats an entry at the end of b.
func appendEntry(b []byte, e entry) []byte {
	b = e.at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, e.stream...)
	tag := byte(tagFull)
	if e.partial {
		tag = tagPartial
	}
	b = append(b, ' ', tag, ' ')
	b = append(b, e.text...)
	return append(b, '\n')
}

// parseEntry reads a line without its line break. It reports false for what a
// crash or a full disk left of one.
func parseEntry(line []byte) (entry, bool) {
	when, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return entry{}, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(rest) < 2 || rest[1] != ' ' {
		return entry{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(when))
	if err != nil {
		return entry{}, false
	}
	e := entry{at: at, partial: rest[0] == tagPartial, text: rest[2:]}
	switch string(stream) {
	case streamOut:
		e.stream = streamOut
	case streamErr:
		e.stream = streamErr
	default:
		return entry{}, false
	}
	return e, rest[0] == tagFull || e.partial
}
