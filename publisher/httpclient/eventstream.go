package httpclient

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent bounds one event, in bytes: a server could send one without an end.
const maxEvent = 1 << 20

var errLongEvent = errors.New("an event is too long")

// eventReader reads a stream of server-sent events (WHATWG HTML, 9.2.6). Of the
// fields it reads data: number and kind are in there as well.
type eventReader struct{ r *bufio.Reader }

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{bufio.NewReaderSize(r, 32<<10)}
}

// next is the data of the next event. An event that the stream ends in is none.
func (e *eventReader) next() ([]byte, error) {
	var data []byte
	some := false
	for read := 0; ; {
		line, err := e.line(maxEvent - read)
		if err != nil {
			return nil, err
		}
		read += len(line) + 1
		if len(line) == 0 {
			if some {
				return data, nil
			}
			read = 0
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "data" {
			continue // a comment, or a field that is not needed
		}
		if some {
			data = append(data, '\n')
		}
		data, some = append(data, bytes.TrimPrefix(value, []byte(" "))...), true
	}
}

// line is the next line without its end. Our server ends lines with LF; a CR
// before it is dropped.
func (e *eventReader) line(most int) ([]byte, error) {
	var line []byte
	for {
		part, err := e.r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, errLongEvent
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		default:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
	}
}
