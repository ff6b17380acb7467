package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/containerd/server"
	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/timeout"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"apocryph/proto/status"
	"apocryph/provider/containerd/attendant"
)

const clientPlugin = "apocryph-client"

// The server's plugins live in a registry of the process, so there is one
// server per process: a fact of the library that these two stand for.
var (
	embedded     atomic.Bool
	registerOnce sync.Once
	// handover is how the client leaves the plugin that makes it; guarded by embedded.
	handover *client.Client
)

// shimTime is how long a shim may take to answer.
const shimTime = 30 * time.Second

// startServer starts containerd in this process and returns a client that
// calls it directly. The returned function stops both.
func startServer(ctx context.Context, l layout) (*client.Client, func(), error) {
	if !embedded.CompareAndSwap(false, true) {
		return nil, nil, status.New(status.Conflict, "runtime.twice", "this process already runs an embedded containerd")
	}
	ok := false
	defer func() {
		if !ok {
			embedded.Store(false)
		}
	}()
	registerOnce.Do(func() {
		// containerd gives a shim 2 s to say how it is. A disk that is busy for that
		// long (with the blocks of gigabytes that were deleted) ends nothing here.
		timeout.Set("io.containerd.timeout.task.state", shimTime)
		timeout.Set("io.containerd.timeout.shim.load", shimTime)
		registry.Register(&plugin.Registration{
			Type: plugins.InternalPlugin,
			ID:   clientPlugin,
			Requires: []plugin.Type{
				plugins.EventPlugin, plugins.LeasePlugin, plugins.SandboxStorePlugin, plugins.TransferPlugin,
				plugins.ServicePlugin, plugins.MountManagerPlugin, plugins.RuntimePluginV2, plugins.ShimPlugin,
			},
			InitFn: func(ic *plugin.InitContext) (any, error) {
				c, err := client.New("", client.WithInMemoryServices(ic))
				handover = c
				return c, err
			},
		})
	})
	cfg := &config.Config{
		Version: version.ConfigVersion,
		Root:    l.root(),
		State:   l.state(),
		Plugins: map[string]any{
			"io.containerd.server.v1.ttrpc": map[string]any{"address": filepath.Join(l.run, "t.sock")},
			"io.containerd.server.v1.grpc":  map[string]any{"address": l.grpcAddress()},
			"io.containerd.shim.v1.manager": map[string]any{
				"socket_dir": filepath.Join(l.run, "s"),
				"env":        []string{attendant.RoleEnv + "=" + attendant.RoleShim, "TMPDIR=" + l.tmp()},
			},
		},
		RequiredPlugins: []string{
			"io.containerd.internal.v1." + clientPlugin,
			"io.containerd.snapshotter.v1." + snapshotter,
		},
	}
	// Layers are mounted for a moment while they are unpacked; what a crash
	// leaves mounted is found there.
	if err := mount.SetTempMountLocation(l.tmp()); err != nil {
		return nil, nil, fmt.Errorf("choosing a place for mounts: %w", err)
	}
	if err := server.CreateTopLevelDirectories(cfg); err != nil {
		return nil, nil, fmt.Errorf("making containerd's directories: %w", err)
	}
	srv, err := server.New(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("loading containerd's plugins: %w", err)
	}
	if err := srv.Start(ctx); err != nil {
		srv.Stop()
		return nil, nil, fmt.Errorf("starting containerd: %w", err)
	}
	c := handover
	if c == nil {
		srv.Stop()
		return nil, nil, errors.New("containerd's plugins made no client")
	}
	ok = true
	return c, func() {
		srv.Stop()
		handover = nil
		embedded.Store(false)
	}, nil
}

// linkHelpers makes the names by which shims and log writers are started.
func linkHelpers(l layout) error {
	self, err := findAttendant(l)
	if err != nil {
		return err
	}
	for _, name := range []string{attendant.ShimName, attendant.LoggerName} {
		tmp := filepath.Join(l.bin(), name+".new")
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := os.Symlink(self, tmp); err != nil {
			return err
		}
		if err := os.Rename(tmp, filepath.Join(l.bin(), name)); err != nil {
			return err
		}
	}
	return nil
}

// findAttendant returns the program that shims and log writers are: the one in
// this program, or this program itself.
func findAttendant(l layout) (string, error) {
	if len(embeddedAttendant) > 0 {
		return unpack(l, "attendant", embeddedAttendant)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	return self, nil
}
