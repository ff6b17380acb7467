package httpapi

import (
	"time"

	"apocryph/p2p/source"
)

const (
	// maxHeaderBytes bounds a request's header.
	maxHeaderBytes = 32 << 10
	// headerTimeout is against a caller that sends its header byte by byte,
	// bodyTimeout against one that does so with a JSON body.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	// writeTimeout is for one write to a caller that does not read.
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
	// lingerTimeout is how long a caller whose upload is refused at once may go on
	// sending: long enough to read the answer, for a reset would take it away.
	lingerTimeout = time.Second
	// maxJSON bounds a JSON body, which is held in memory.
	maxJSON = 1 << 20
	// maxManifest bounds the manifest of a deploy, in either form.
	maxManifest = 256 << 10
	// maxPageSize is for lists that are paged. Those that are not are bounded by
	// what a namespace may have.
	maxPageSize = 100
	// maxLabelFilters bounds what each item of a list is compared with.
	maxLabelFilters = 8
	pageSize        = 20
	// maxPage bounds a page's number, against numbers that do not fit a position.
	maxPage = 1 << 20
	// maxWait is how long a call may ask to wait for a deployment.
	maxWait     = 300 * time.Second
	defaultWait = 30 * time.Second
	// submitTimeout is for taking a deployment that was uploaded whole: its
	// caller may be gone by then, and it is not lost for that.
	submitTimeout = time.Minute
)

// Limits bound what callers can make of the API. A zero field is its default.
type Limits struct {
	// Files bound what is uploaded to a deploy, once it is unpacked.
	Files source.Limits
	// UploadBytes is a deploy's body, 2 GiB and 64 MiB of frame by default.
	UploadBytes int64
	// Parts is how many parts a form has, against millions of empty ones; 10,000.
	Parts int
	// Uploads is how many bodies are received at once, against callers who
	// occupy the disk and never end; 64. A quarter of them is for one caller.
	Uploads int
	// Streams is how many calls wait or follow at once, 512. A quarter of them is
	// for one caller.
	Streams int
	// MinRate is in bytes a second: an upload that is slower over its whole
	// time ends. It counts after Stall; 1 KiB.
	MinRate int64
	// Stall is how long an upload may send nothing, 30 s.
	Stall time.Duration
	// Heartbeat is between two signs of life in an event stream, against proxies
	// that end what is silent; 15 s.
	Heartbeat time.Duration
	// Keys is how many answers are kept for Idempotency-Keys, 10,000, of which a
	// quarter is for one caller.
	Keys int
}

func (l Limits) withDefaults() Limits {
	if l.Files == (source.Limits{}) {
		l.Files = source.DefaultLimits()
	}
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Parts, 10_000)
	set(&l.Uploads, 64)
	set(&l.Streams, 512)
	set(&l.Keys, 10_000)
	if l.UploadBytes <= 0 {
		l.UploadBytes = 2<<30 + 64<<20
	}
	if l.MinRate <= 0 {
		l.MinRate = 1 << 10
	}
	if l.Stall <= 0 {
		l.Stall = 30 * time.Second
	}
	if l.Heartbeat <= 0 {
		l.Heartbeat = 15 * time.Second
	}
	return l
}
