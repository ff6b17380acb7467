package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Fake is a runtime in memory. Containers whose first argument is [Probe]
// execute its script; all others wait until they are stopped.
type Fake struct {
	// Handler makes what answers HTTP on an instance's ports while the
	// container runs; nil means that nobody listens. Set it before use.
	Handler func(provider.InstanceSpec, provider.ContainerSpec) http.Handler
	// Disks, where it is set, makes the directory of a persistent volume on this
	// machine, by the volume's name "POD.VOLUME". Set it before use.
	Disks Disks

	mu        sync.Mutex
	base      netip.Addr
	instances map[provider.InstanceID]*fakeInstance
	// volumes are the files of persistent volumes, by pod and volume.
	volumes  map[provider.PodID]map[string]*fakeVolume
	watchers map[chan provider.Exit]struct{}
	faults   map[string]error
	// processes are the goroutines of containers.
	processes sync.WaitGroup
}

// Disks is what the volumes of a [Fake] are kept by.
type Disks interface {
	Open(ctx context.Context, name string, bytes uint64) (dir string, err error)
	Remove(ctx context.Context, name string) error
	List() ([]string, error)
}

type fakeInstance struct {
	spec       provider.InstanceSpec
	ip         netip.Addr
	containers []*fakeContainer
}

type fakeContainer struct {
	spec    provider.ContainerSpec
	config  ocispec.ImageConfig
	imageID string
	volumes map[string]*fakeVolume
	logs    []provider.LogLine
	run     *process
	// exit is -1 before the first end.
	exit int
}

// fakeVolume is the files of a volume, by path below it.
type fakeVolume struct {
	mu    sync.Mutex
	files map[string][]byte
	// dir has the files instead, where it is set.
	dir string
}

// open says where the volume is. Other instances of the pod may be using it.
func (v *fakeVolume) open(dir string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dir = dir
}

func (v *fakeVolume) root() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dir
}

var _ Runtime = (*Fake)(nil)

// NewFake makes an empty runtime and stops its containers when the test ends.
func NewFake(tb testing.TB) *Fake {
	// Each fake has its own part of the loopback network.
	n := rand.N(uint32(1<<16)) << 8
	f := &Fake{
		base:      netip.AddrFrom4([4]byte{127, byte(n>>16) | 64, byte(n >> 8), 0}),
		instances: map[provider.InstanceID]*fakeInstance{},
		volumes:   map[provider.PodID]map[string]*fakeVolume{},
		watchers:  map[chan provider.Exit]struct{}{},
		faults:    map[string]error{},
	}
	tb.Cleanup(func() {
		f.mu.Lock()
		for _, in := range f.instances {
			for _, c := range in.containers {
				c.run.end(137)
			}
		}
		f.mu.Unlock()
		f.processes.Wait()
	})
	return f
}

// Fail makes the next call of a method ("Create", "Start", "Remove", "List",
// "Exec") return an error.
func (f *Fake) Fail(method string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[method] = err
}

// Kill ends a container's process with an exit code, as a crash would.
func (f *Fake) Kill(id provider.InstanceID, container string, code int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, c, err := f.find(id, container)
	if err != nil {
		return err
	}
	c.run.end(code)
	return nil
}

// fault takes the error that a call has to return. The lock is held.
func (f *Fake) fault(method string) error {
	err := f.faults[method]
	delete(f.faults, method)
	return err
}

// find looks a container up. The lock is held.
func (f *Fake) find(id provider.InstanceID, container string) (*fakeInstance, *fakeContainer, error) {
	in := f.instances[id]
	if in == nil {
		return nil, nil, status.New(status.NotFound, "instance.unknown", "no instance %q is here", id)
	}
	for _, c := range in.containers {
		if c.spec.Name == container {
			return in, c, nil
		}
	}
	return nil, nil, status.New(status.NotFound, "container.unknown", "instance %s has no container %q", id, container)
}

// Create makes an instance; see [provider.Runtime].
func (f *Fake) Create(ctx context.Context, s provider.InstanceSpec, report func(provider.Progress)) (provider.Created, error) {
	f.mu.Lock()
	err := f.fault("Create")
	f.mu.Unlock()
	if err == nil {
		err = checkSpec(s)
	}
	if err != nil {
		return provider.Created{}, err
	}
	in := &fakeInstance{spec: s}
	for _, c := range s.Containers {
		img, err := openImage(c)
		if err != nil {
			return provider.Created{}, err
		}
		in.containers = append(in.containers, &fakeContainer{spec: c, config: img.config, imageID: img.id, volumes: map[string]*fakeVolume{}, exit: -1})
	}
	if err := f.Remove(ctx, s.ID, 0); err != nil {
		return provider.Created{}, err
	}
	for _, c := range s.Containers {
		if err := unpack(ctx, c, report); err != nil {
			return provider.Created{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mount(ctx, in); err != nil {
		return provider.Created{}, err
	}
	f.base = f.base.Next()
	in.ip = f.base
	f.instances[s.ID] = in
	out := provider.Created{IP: in.ip.String(), ImageIDs: map[string]string{}, Execs: map[string]provider.Exec{}}
	for _, c := range in.containers {
		out.ImageIDs[c.spec.Name], out.Execs[c.spec.Name] = c.imageID, execOf(c)
	}
	return out, nil
}

// mount gives the containers of an instance their volumes. The lock is held.
func (f *Fake) mount(ctx context.Context, in *fakeInstance) error {
	for _, v := range in.spec.Volumes {
		vol := &fakeVolume{files: map[string][]byte{}}
		switch v.Kind {
		case manifest.Secret:
			for name, data := range in.spec.Secrets[v.Name] {
				vol.files["/"+name] = data
			}
		case manifest.Persistent:
			pod := f.volumes[in.spec.Pod]
			if pod == nil {
				pod = map[string]*fakeVolume{}
				f.volumes[in.spec.Pod] = pod
			}
			if pod[v.Name] == nil {
				pod[v.Name] = vol
			}
			vol = pod[v.Name]
			if f.Disks != nil {
				dir, err := f.Disks.Open(ctx, string(in.spec.Pod)+"."+v.Name, v.Bytes)
				if err != nil {
					return fmt.Errorf("making volume %q: %w", v.Name, err)
				}
				vol.open(dir)
			}
		}
		for _, c := range in.containers {
			c.volumes[v.Name] = vol
		}
	}
	return nil
}

// Start starts an instance; see [provider.Runtime].
func (f *Fake) Start(ctx context.Context, id provider.InstanceID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(f.fault("Start"), ctx.Err()); err != nil {
		return err
	}
	in := f.instances[id]
	if in == nil {
		return status.New(status.NotFound, "instance.unknown", "no instance %q is here", id)
	}
	for _, c := range in.containers {
		if c.run.running() {
			continue
		}
		if argv := argvOf(c); argv[0] == missingProgram {
			return status.New(status.AppFailed, "container.start", "container %q does not start: its command is not in the image", c.spec.Name)
		}
		servers, err := f.serve(in, c)
		if err != nil {
			return fmt.Errorf("starting container %q: %w", c.spec.Name, err)
		}
		f.launch(in, c, servers)
	}
	return nil
}

// serve opens the ports of a container. The lock is held.
func (f *Fake) serve(in *fakeInstance, c *fakeContainer) ([]*http.Server, error) {
	if f.Handler == nil {
		return nil, nil
	}
	h := f.Handler(in.spec, c.spec)
	var out []*http.Server
	for _, p := range c.spec.Ports {
		if p.Protocol == manifest.UDP {
			continue
		}
		l, err := net.Listen("tcp", netip.AddrPortFrom(in.ip, p.TargetPort).String())
		if err != nil {
			for _, s := range out {
				s.Close()
			}
			return nil, err
		}
		s := &http.Server{Handler: h}
		out = append(out, s)
		f.processes.Go(func() { _ = s.Serve(l) })
	}
	return out, nil
}

// Remove stops and deletes an instance; see [provider.Runtime].
func (f *Fake) Remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	f.mu.Lock()
	err := f.fault("Remove")
	in := f.instances[id]
	f.mu.Unlock()
	if err != nil || in == nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for _, c := range in.containers {
		if grace > 0 {
			c.run.ask()
		}
	}
	for _, c := range in.containers {
		if c.run == nil {
			continue
		}
		if grace > 0 {
			select {
			case <-c.run.done:
			case <-timer.C:
				timer.Reset(0)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c.run.end(137)
		<-c.run.done
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.instances, id)
	return nil
}

// RemoveVolumes deletes a pod's persistent volumes.
func (f *Fake) RemoveVolumes(ctx context.Context, pod provider.PodID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, in := range f.instances {
		if in.spec.Pod == pod {
			return status.New(status.Conflict, "volume.used", "the volumes of pod %s are used by %s", pod, id)
		}
	}
	delete(f.volumes, pod)
	if f.Disks == nil {
		return nil
	}
	names, err := f.Disks.List()
	for _, name := range names {
		if strings.HasPrefix(name, string(pod)+".") {
			err = errors.Join(err, f.Disks.Remove(ctx, name))
		}
	}
	return err
}

// missingProgram is a path that no image has.
const missingProgram = "/missing"
