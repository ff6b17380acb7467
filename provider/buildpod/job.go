package buildpod

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

const (
	// container is the one of a job's instance.
	container = "build"
	// maxCaches bounds the mounts of a job.
	maxCaches = 8
	// sourceDir, outputDir and tempDir are what a job has of its volume.
	sourceDir, outputDir, tempDir = "src", "out", "tmp"
)

// job is a [build.Job] under way.
type job struct {
	build.Job
	limits  Limits
	pod     provider.PodID
	id      provider.InstanceID
	scratch string
}

func (p *Pods) newJob(j build.Job) (*job, error) {
	var faults []status.Fault
	bad := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if j.Namespace == "" {
		bad("namespace", "nothing", "who builds")
	}
	if j.Image == nil {
		bad("image", "nothing", "a base image")
	}
	if len(j.Argv) == 0 {
		bad("argv", "nothing", "a command")
	}
	if j.Dir != "" && !path.IsAbs(j.Dir) {
		bad("dir", strconv.Quote(j.Dir), "an absolute path")
	}
	if j.Time < 0 {
		bad("time", j.Time.String(), "a duration")
	}
	for i, kv := range j.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			bad(fmt.Sprintf("env[%d]", i), strconv.Quote(name), "NAME=value")
		}
	}
	if len(j.Caches) > maxCaches {
		bad("caches", strconv.Itoa(len(j.Caches)), "at most "+strconv.Itoa(maxCaches))
	}
	for i, name := range j.Caches {
		if !cacheName.MatchString(name) || slices.Contains(j.Caches[:i], name) {
			bad(fmt.Sprintf("caches[%d]", i), strconv.Quote(name), "a-z, 0-9, - and _, at most 32, each once")
		}
	}
	if faults != nil {
		return nil, status.Invalid("build.job", "the job", faults)
	}
	id := newID()
	out := &job{Job: j, pod: podOf(j.Namespace), scratch: scratchPrefix + id}
	out.id = instanceOf(out.pod, id)
	out.limits = Limits{
		CPUMillis: j.CPUMillis, MemoryBytes: j.MemoryBytes, DiskBytes: j.DiskBytes, Time: j.Time,
	}.or(p.cfg.Defaults)
	return out, nil
}

// spec is the instance that a job is.
func (j *job) spec(b *base, img *provider.Image) provider.InstanceSpec {
	c := provider.ContainerSpec{
		Container: manifest.Container{
			Name: container, Image: b.image, Command: j.Argv, WorkingDir: j.Dir,
			Resources: manifest.Resources{CPUMillis: j.limits.CPUMillis, MemoryBytes: j.limits.MemoryBytes, PIDs: j.limits.PIDs},
		},
		Image: img, Key: b.key, AsRoot: true, Nested: j.Nested,
		Binds: []provider.Bind{
			{Volume: j.scratch, Dir: sourceDir, Path: "/src"},
			{Volume: j.scratch, Dir: outputDir, Path: "/out"},
			// What a root file system takes is not the volume's to limit.
			{Volume: j.scratch, Dir: tempDir, Path: "/tmp"},
		},
	}
	if c.WorkingDir == "" {
		c.WorkingDir = "/src"
	}
	for _, kv := range j.Env {
		name, value, _ := strings.Cut(kv, "=")
		c.Env = append(c.Env, manifest.EnvVar{Name: name, Value: value})
	}
	s := provider.InstanceSpec{
		ID: j.id, Pod: j.pod, Publisher: publisherOf(j.Namespace), Name: container, Class: "runc", Offline: !j.Egress,
		Volumes: []manifest.Volume{{Name: j.scratch, Kind: manifest.Persistent, Bytes: j.limits.DiskBytes}},
	}
	for _, name := range j.Caches {
		s.Volumes = append(s.Volumes, manifest.Volume{Name: cachePrefix + name, Kind: manifest.Persistent, Bytes: j.limits.CacheBytes})
		c.Mounts = append(c.Mounts, manifest.Mount{Volume: cachePrefix + name, Path: "/cache/" + name})
	}
	s.Containers = []provider.ContainerSpec{c}
	return s
}

func (j *job) caches() []string {
	var out []string
	for _, name := range j.Caches {
		out = append(out, diskOf(j.pod, cachePrefix+name))
	}
	return out
}
