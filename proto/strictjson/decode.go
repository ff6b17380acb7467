package strictjson

import (
	"fmt"
	"reflect"

	"apocryph/proto/status"
)

// maxFaults bounds the answer to a document of rubbish; see status.FromPeer.
const maxFaults = 64

// Options are the bounds of one document.
type Options struct {
	// MaxBytes is the size of the document. 0 means 256 KiB.
	MaxBytes int
	// MaxDepth is how deep lists and objects may nest: 1 is a flat object. 0
	// means 32. More than 1000 is taken as 1000.
	MaxDepth int
	// MaxValues is how many values the document may have in all, with itself, and
	// with empty lists and objects counted twice. It keeps memory bounded: two
	// bytes that were sent become a value of a hundred and more. 0 means 16384.
	MaxValues int
}

const (
	defaultBytes = 256 << 10
	defaultDepth = 32
	defaultCount = 16 << 10
	// mostDepth keeps recursion, and with it the stack, small.
	mostDepth = 1000
)

func (o Options) filled() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultBytes
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = defaultDepth
	}
	if o.MaxValues <= 0 {
		o.MaxValues = defaultCount
	}
	o.MaxDepth = min(o.MaxDepth, mostDepth)
	return o
}

// Decode reads one JSON document into the value that into points to. Struct
// fields are matched by their json name alone. The error is invalid_argument:
// json.malformed with the place of the one syntax error, json.too_large, or
// json.invalid with every fault; with the last, whatever is right has been
// stored, so that a caller can add faults of its own. Embedded structs must not
// have a name twice, and the string option of a json tag is not known. Decode
// panics when into is not a pointer to something.
func Decode(b []byte, into any, opts Options) error {
	dst := reflect.ValueOf(into)
	if dst.Kind() != reflect.Pointer || dst.IsNil() {
		panic(fmt.Sprintf("strictjson: decoding into %T", into))
	}
	root, faults, err := parse(b, opts.filled())
	if err != nil {
		return err
	}
	d := decoder{faults: faults}
	d.decode(root, dst.Elem())
	return d.err()
}

// Parse reads one JSON document as a tree. The errors are those of [Decode];
// with json.invalid the tree is there as well, each double member without its
// second value.
func Parse(b []byte, opts Options) (*Value, error) {
	root, faults, err := parse(b, opts.filled())
	if err != nil {
		return nil, err
	}
	d := decoder{faults: faults}
	return root, d.err()
}

// decoder collects faults.
type decoder struct{ faults []status.Fault }

func (d *decoder) err() error {
	if len(d.faults) == 0 {
		return nil
	}
	return status.Invalid("json.invalid", "the JSON", d.faults)
}

func (d *decoder) refuse(v *Value, got, want string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, v.Fault(got, want))
	}
}
