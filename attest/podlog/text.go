package podlog

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Describe says in one line what an event is, for people: printable ASCII,
// digests as "sha256:" and hex.
func Describe(e Event) string {
	switch e := e.(type) {
	case *AgentStart:
		return line(e.At, "version", e.Version, "program", e.Binary, "boot", hex.EncodeToString(e.BootEpoch), "keys", e.Keys)
	case *Config:
		return line(e.At, "part", e.Name, "effective", e.Effective, "storage", e.Storage, "access", strings.Join(e.AccessPaths, ","))
	case *Ready:
		return line(e.At)
	case *PodCreate:
		return line(e.At, "pod", e.PodID, "revision", e.Revision, "publisher", e.Publisher, "manifest", e.Manifest)
	case *ImageExec:
		return line(e.At, "pod", e.PodID, "instance", e.Instance, "container", e.Container, "image", e.ImageID, "cid", e.CID)
	case *KeyRelease:
		return line(e.At, "pod", e.PodID, "revision", e.Revision, "containers", strings.Join(e.Containers, ","), "manifest", e.Manifest, "claims", e.Claims)
	case *PodStart:
		return line(e.At, "pod", e.PodID, "revision", e.Revision, "instance", e.Instance)
	case *PodStop:
		return line(e.At, "pod", e.PodID, "revision", e.Revision, "instance", e.Instance, "cause", e.Cause)
	case *BuildDone:
		return line(e.At, "pod", e.PodID, "source", e.Source, "image", e.ImageID, "cid", e.CID)
	case *ExecAttempt:
		return line(e.At, "pod", e.PodID, "instance", e.Instance, "container", e.Container, "by", e.By, "allowed", e.Allowed, "count", e.Count)
	}
	return ""
}

// line is a time and names with their values; empty ones are left out.
func line(at time.Time, pairs ...any) string {
	var b strings.Builder
	b.WriteString(at.UTC().Format("2006-01-02T15:04:05.000Z"))
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := fmt.Sprint(pairs[i+1]); v != "" {
			fmt.Fprintf(&b, " %s=%s", pairs[i], v)
		}
	}
	return b.String()
}
