package providerd

import (
	"fmt"
	"math"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider/buildpod"
)

const (
	// leastBuildDisk holds the file system of a volume and a small source, in bytes.
	leastBuildDisk = 64 << 20
	// leastBuildMemory runs a shell and no compiler, in bytes.
	leastBuildMemory = 64 << 20
	// maxBuildTime bounds how long a stranger's command may hold a worker.
	maxBuildTime = 24 * time.Hour
)

// BuildLimits are what the commands of one build may take. Sizes are quantities, such
// as "4Gi"; the zero value is the defaults of [buildpod.Limits].
type BuildLimits struct {
	// Memory is a hard limit. Disk is reserved while a command runs, Cache from the
	// first build of a namespace that has a use for one.
	Memory, Disk, Cache string
	// Time is that of one command.
	Time time.Duration
}

// parse returns zeroes for what is not set.
func (l BuildLimits) parse() (buildpod.Limits, []status.Fault) {
	var out buildpod.Limits
	var faults []status.Fault
	for _, x := range []struct {
		field, text string
		to          *uint64
		least       uint64
	}{
		{"build-memory", l.Memory, &out.MemoryBytes, leastBuildMemory},
		{"build-disk", l.Disk, &out.DiskBytes, leastBuildDisk},
		{"build-cache", l.Cache, &out.CacheBytes, leastBuildDisk},
	} {
		if x.text == "" {
			continue
		}
		n, err := manifest.ParseQuantity(x.text, 1)
		if err != nil || n < x.least || n > math.MaxInt64 {
			faults = append(faults, status.Fault{Field: x.field, Got: fmt.Sprintf("%.80q", x.text), Want: fmt.Sprintf("bytes, %dMi or more, such as 4Gi", x.least>>20)})
			continue
		}
		*x.to = n
	}
	if out.Time = l.Time; l.Time < 0 || l.Time > maxBuildTime || l.Time > 0 && l.Time < time.Second {
		faults = append(faults, status.Fault{Field: "build-time", Got: l.Time.String(), Want: "1s to 24h"})
	}
	return out, faults
}
