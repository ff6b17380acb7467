package providerd

import (
	"testing"
	"time"

	"apocryph/provider/buildpod"
)

func TestBuildLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    BuildLimits
		want  buildpod.Limits
		fault string
	}{
		{"nothing", BuildLimits{}, buildpod.Limits{}, ""},
		{
			"all",
			BuildLimits{Memory: "1Gi", Disk: "512Mi", Cache: "64Mi", Time: time.Minute},
			buildpod.Limits{MemoryBytes: 1 << 30, DiskBytes: 512 << 20, CacheBytes: 64 << 20, Time: time.Minute},
			"",
		},
		{"too little memory", BuildLimits{Memory: "63Mi"}, buildpod.Limits{}, "build-memory"},
		{"no disk", BuildLimits{Disk: "0"}, buildpod.Limits{}, "build-disk"},
		{"a word", BuildLimits{Cache: "large"}, buildpod.Limits{}, "build-cache"},
		{"more than a file holds", BuildLimits{Disk: "9Ei"}, buildpod.Limits{}, "build-disk"},
		{"time backwards", BuildLimits{Time: -time.Second}, buildpod.Limits{Time: -time.Second}, "build-time"},
		{"no time to start", BuildLimits{Time: time.Millisecond}, buildpod.Limits{Time: time.Millisecond}, "build-time"},
		{"days", BuildLimits{Time: 25 * time.Hour}, buildpod.Limits{Time: 25 * time.Hour}, "build-time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, faults := tt.in.parse()
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if (tt.fault != "") != (len(faults) == 1) || tt.fault != "" && faults[0].Field != tt.fault {
				t.Errorf("the faults are %v, want %q", faults, tt.fault)
			}
		})
	}
	if _, faults := (BuildLimits{Memory: "x", Disk: "y", Cache: "z", Time: -1}).parse(); len(faults) != 4 {
		t.Errorf("four faults are told as %v", faults)
	}
	if got := (SourceConfig{Limits: BuildLimits{Disk: "1"}}).faults(); len(got) != 1 || got[0].Field != "build-disk" {
		t.Errorf("the configuration says %v", got)
	}
}
