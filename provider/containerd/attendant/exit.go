package attendant

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/containerd/containerd/api/events"
	eventtypes "github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ExitAnnotation of a container's specification names the file for its exit.
const ExitAnnotation = "apocryph.exit"

// Exit is how a container's last run ended. The shim writes it, because
// it is there when the daemon is not; containerd itself forgets the task of a
// container that has ended when the daemon starts anew.
type Exit struct {
	Code int
	// OOMKilled: the memory limit ended it.
	OOMKilled bool
	At        time.Time
}

// exitKeeper is a shim's publisher of events that first writes the exit down.
type exitKeeper struct {
	shim.Publisher
	path, cgroup string
}

// keepExits wraps a shim's publisher. The shim's working directory is the
// container's bundle, where its specification is.
func keepExits(p shim.Publisher) (shim.Publisher, error) {
	data, err := os.ReadFile("config.json")
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, err
	}
	k := exitKeeper{Publisher: p, path: spec.Annotations[ExitAnnotation]}
	if spec.Linux == nil || k.path == "" {
		return nil, errors.New("this container is not apocryph's")
	}
	k.cgroup = spec.Linux.CgroupsPath
	return k, nil
}

// Publish writes the exit of the container's first process down and passes
// every event on.
func (k exitKeeper) Publish(ctx context.Context, topic string, e eventtypes.Event) error {
	var werr error
	if exit, ok := e.(*events.TaskExit); ok && exit.ID == exit.ContainerID {
		werr = saveExit(k.path, Exit{
			Code:      int(exit.ExitStatus),
			OOMKilled: OOMKilled(k.cgroup, int(exit.ExitStatus)),
			At:        exit.ExitedAt.AsTime(),
		})
	}
	return errors.Join(werr, k.Publisher.Publish(ctx, topic, e))
}

// OOMKilled tells whether the memory limit ended a container: the kernel killed
// a process of it, and it did not end well. The group is a path below the
// hierarchy's mount.
func OOMKilled(cgroup string, code int) bool { return code != 0 && oomKills(cgroup) > 0 }

func saveExit(path string, e Exit) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return WriteFile(path, data, 0o600)
}

// LoadExit reports false where there was no exit since the last start.
func LoadExit(path string) (Exit, bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Exit{}, false, nil
	}
	if err != nil {
		return Exit{}, false, err
	}
	var e Exit
	return e, true, json.Unmarshal(data, &e)
}
