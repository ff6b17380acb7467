package attendant

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/sirupsen/logrus"
)

const (
	// RoleEnv says which helper this process is. It is needed beside the name
	// in argv[0] because the shim starts itself a second time by os.Executable.
	RoleEnv  = "APOCRYPH_REEXEC"
	RoleShim = "shim"

	// ShimName is the name that containerd wants a shim's binary to have.
	ShimName = "containerd-shim-runc-v2"
	// LoggerName is the argv[0] of the log writer; the shim gives it no environment.
	LoggerName = "apocryph-container-log"
)

// Run runs this process as one of the helpers of a container, if it was
// started as one, and reports whether it was. It has to be the first call of
// main, and of TestMain in tests that run containers:
//
//	if attendant.Run() {
//		return
//	}
func Run() bool {
	switch name := filepath.Base(os.Args[0]); {
	case name == LoggerName:
		if err := runLogger(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(RoleEnv) == RoleShim, name == ShimName:
		runShim()
	default:
		return false
	}
	return true
}

// runShim is the process that stays with a container and reaps it, so that the
// container outlives the daemon.
func runShim() {
	// The shim loads every plugin of the registry: those of the daemon are
	// linked into the same binary and must not be seen.
	registry.Reset()
	// Its log would go to the daemon's standard error. What matters is returned
	// by its calls; that the daemon is away for a while is no error.
	log.L.Logger.SetLevel(logrus.FatalLevel)
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			down, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			keeper, err := keepExits(publisher.(shim.Publisher))
			if err != nil {
				return nil, err
			}
			return task.NewTaskService(ic.Context, keeper, down.(shutdown.Service))
		},
	})
	shim.RunShim(context.Background(), informed{manager.NewShimManager("io.containerd.runc.v2")})
}

// informed is a shim that says what it is without a look at runc, of which it is
// not told and which no PATH leads to. containerd asks at the first start, and where
// the answer is an error at each: that is two programs more before a container is made.
type informed struct{ shim.Shim }

// Info names no features of runc: what needs one that containerd has to know of
// beforehand (mounts with mapped ids) is refused by it.
func (s informed) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	return &types.RuntimeInfo{Name: s.Name(), Version: &types.RuntimeVersion{Version: version.Version, Revision: version.Revision}}, nil
}
