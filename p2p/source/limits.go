package source

import (
	"fmt"

	"apocryph/proto/status"
)

// Limits bound what strangers can make of one tree. Each must be positive.
type Limits struct {
	// Bytes is the sum of the sizes of all files, expanded.
	Bytes int64
	// Entries is the number of files, links and directories, with the
	// directories that no archive names but whose files it has.
	Entries int
	// PathBytes is the length of a name within the tree, and of a link's target.
	PathBytes int
	// Depth is the number of components of a name.
	Depth int
	// Ratio is how many bytes one uploaded byte may become. It counts once a
	// part has grown to more than 1 MiB.
	Ratio int
	// FileBytes is the size of one file, expanded.
	FileBytes int64
}

// DefaultLimits are 2 GiB in 100,000 entries of at most 1 GiB each, names of
// 1,024 bytes in 64 components, and a ratio of 200.
func DefaultLimits() Limits {
	return Limits{Bytes: 2 << 30, Entries: 100_000, PathBytes: 1024, Depth: 64, Ratio: 200, FileBytes: 1 << 30}
}

const (
	// ratioFrom is where the ratio begins to count: below it every small text
	// file that compresses well would be a bomb.
	ratioFrom = 1 << 20
	// nameBytes is the longest component that Linux file systems take (NAME_MAX).
	nameBytes = 255
	// headBytes is what is read of a part to tell its kind. A zstd block is at
	// most 128 KiB (RFC 8878, 3.1.1.2.4), so the first block is in it.
	headBytes = 256 << 10
	// zstdWindow is what decoders should have at least (RFC 8878, 3.1.1.1.2):
	// zstd stays within it up to level 19. A larger one is memory for whoever asks.
	zstdWindow = 8 << 20
	// metaBytes caps the PAX and GNU headers before one entry of a tar: they
	// are read into memory, and the library allows 1 MiB each, any number of them.
	metaBytes = 64 << 10
	// perEntry is added, for each entry allowed, to what a stream may have
	// beside the contents of files: headers, padding, a zip's directory.
	perEntry = 4 << 10
	// copyBytes is the buffer between a part and a file.
	copyBytes = 64 << 10
)

// stream is the cap of an upload and of what it decompresses to: a stream of
// nothing but headers or zeros adds no file and so meets no other limit.
func (l Limits) stream() int64 { return l.Bytes + int64(l.Entries)*perEntry + ratioFrom }

func (l Limits) validate() error {
	if l.Bytes < 1 || l.Entries < 1 || l.PathBytes < 1 || l.Depth < 1 || l.Ratio < 1 || l.FileBytes < 1 {
		return status.New(status.InvalidArgument, "files.limits", "the limits are %s, and each must be positive", fmt.Sprintf("%+v", l))
	}
	return nil
}
