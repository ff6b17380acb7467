package containerd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// cleanupTime bounds the removal of what a failed call has made.
const cleanupTime = 30 * time.Second

// Create makes an instance; see [provider.Runtime].
func (r *Runtime) Create(ctx context.Context, s provider.InstanceSpec, report func(provider.Progress)) (provider.Created, error) {
	if err := checkSpec(s); err != nil {
		return provider.Created{}, err
	}
	images := make([]*image, len(s.Containers))
	for i, c := range s.Containers {
		var err error
		if images[i], err = openImage(c); err != nil {
			return provider.Created{}, err
		}
	}
	if report == nil {
		report = func(provider.Progress) {}
	}
	ctx, cl, err := r.use(ctx, namespaceOf(s.Publisher))
	if err != nil {
		return provider.Created{}, err
	}
	unlock, err := r.locks.Lock(ctx, string(s.ID))
	if err != nil {
		return provider.Created{}, err
	}
	defer unlock()
	if err := r.remove(ctx, s.ID, 0); err != nil {
		return provider.Created{}, fmt.Errorf("removing what was left of %s: %w", s.ID, err)
	}
	out, err := r.create(ctx, cl, s, images, report)
	if err != nil {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if rmErr := r.remove(cctx, s.ID, 0); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("removing the half made %s: %w", s.ID, rmErr))
		}
		return provider.Created{}, err
	}
	return out, nil
}

// create makes an instance of which nothing is here. Whatever it makes belongs
// to the record that it writes first.
func (r *Runtime) create(ctx context.Context, cl *client.Client, s provider.InstanceSpec, images []*image, report func(provider.Progress)) (provider.Created, error) {
	rec, err := r.begin(s, images)
	if err != nil {
		return provider.Created{}, err
	}
	lease, err := cl.LeasesService().Create(ctx, leases.WithID(leaseOf(s.ID)))
	if err != nil {
		return provider.Created{}, fmt.Errorf("making a lease: %w", err)
	}
	ctx = leases.WithLease(ctx, lease.ID)
	snaps := cl.SnapshotService(snapshotter)
	u := &unpacker{
		snaps: snaps, leases: cl.LeasesService(), lease: lease, chains: &r.chains,
		report: report, started: time.Now(),
	}
	for _, img := range images {
		for _, l := range img.layers {
			u.total += uint64(max(l.Size, 0))
		}
	}
	for _, img := range images {
		if err := u.unpack(ctx, img); err != nil {
			return provider.Created{}, err
		}
	}
	u.tell()

	users := make([]specs.User, len(images))
	owners := map[string]uint32{}
	for i, img := range images {
		if users[i], err = userOf(ctx, snaps, "view-"+rec.Containers[i].ID, img); err != nil {
			return provider.Created{}, fmt.Errorf("finding the user of container %q: %w", s.Containers[i].Name, err)
		}
		if s.Containers[i].AsRoot {
			users[i] = specs.User{}
		}
		for _, m := range s.Containers[i].Mounts {
			if _, known := owners[m.Volume]; !known {
				owners[m.Volume] = users[i].UID
			}
		}
	}
	p, err := r.furnish(ctx, s, rec, owners)
	if err != nil {
		return provider.Created{}, err
	}
	for i, c := range s.Containers {
		if err := r.container(ctx, cl, s.ID, rec.Containers[i], c, images[i], users[i], p); err != nil {
			return provider.Created{}, fmt.Errorf("making container %q: %w", c.Name, err)
		}
	}
	out := provider.Created{IP: rec.IP.String(), ImageIDs: map[string]string{}, Execs: map[string]provider.Exec{}}
	for i, c := range rec.Containers {
		if out.ImageIDs[c.Name], out.Execs[c.Name], err = readBack(ctx, cl, c, images[i]); err != nil {
			return provider.Created{}, err
		}
	}
	rec.Phase = made
	if err := r.put(rec); err != nil {
		return provider.Created{}, err
	}
	return out, nil
}

// begin takes an address and a range of user ids and writes the record.
func (r *Runtime) begin(s provider.InstanceSpec, images []*image) (*record, error) {
	rec := &record{ID: s.ID, Pod: s.Pod, Publisher: s.Publisher, Phase: making, Offline: s.Offline}
	for i, c := range s.Containers {
		rec.Containers = append(rec.Containers, containerRecord{
			Name: c.Name, ID: containerID(s.ID, c.Name), Image: images[i].id, StopSignal: images[i].config.StopSignal,
		})
	}
	for _, v := range s.Volumes {
		if v.Kind == manifest.Secret {
			rec.Secrets = append(rec.Secrets, v.Name)
		}
	}
	if err := r.net.ensure(); err != nil {
		return nil, fmt.Errorf("setting up the network: %w", err)
	}
	ip, err := r.net.allocate(s.ID)
	if err != nil {
		return nil, err
	}
	rec.IP = ip
	r.mu.Lock()
	rec.UIDs, err = uidRange(r.dirs, r.cfg.Identity, s.Pod)
	r.mu.Unlock()
	if err == nil {
		err = r.put(rec)
	}
	if err != nil {
		r.net.release(s.ID)
		return nil, err
	}
	return rec, nil
}

// put makes a record durable, then visible.
func (r *Runtime) put(rec *record) error {
	if err := saveRecord(r.dirs, rec); err != nil {
		return fmt.Errorf("writing the record of %s: %w", rec.ID, err)
	}
	c := *rec
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records[rec.ID] = &c
	return nil
}

// furnish makes what the containers of an instance share.
func (r *Runtime) furnish(ctx context.Context, s provider.InstanceSpec, rec *record, owners map[string]uint32) (place, error) {
	p := place{
		hostname: s.Name, cgroup: r.cgroup(s.ID), uids: rec.UIDs,
		netns: r.dirs.netns(s.ID), userns: r.dirs.userns(s.ID),
		files: map[string]string{}, readOnly: map[string]bool{},
	}
	if err := pinNamespaces(r.dirs, s.ID, rec.UIDs); err != nil {
		return place{}, err
	}
	if err := r.link(rec); err != nil {
		return place{}, err
	}
	resolvers := r.net.resolvers
	if s.Offline {
		resolvers = nil
	}
	for name, text := range nameFiles(s.Name, rec.IP, resolvers, s.Containers) {
		p.files["/etc/"+name] = filepath.Join(r.dirs.instance(s.ID), name)
		if err := attendant.WriteFile(p.files["/etc/"+name], []byte(text), 0o644); err != nil {
			return place{}, err
		}
	}
	for _, v := range rec.Secrets {
		p.readOnly[v] = true
	}
	var err error
	if p.volumes, err = r.makeVolumes(ctx, s, rec, owners); err != nil {
		return place{}, err
	}
	return p, errors.Join(mkdir(r.dirs.logs(s.ID), 0o700, 0), mkdir(filepath.Dir(r.dirs.exit(s.ID, "any")), 0o700, 0))
}

func (r *Runtime) container(ctx context.Context, cl *client.Client, id provider.InstanceID, c containerRecord, cs provider.ContainerSpec, img *image, usr specs.User, p place) error {
	spec, err := newSpec(ctx, c.ID, cs, img, usr, p)
	if err != nil {
		return err
	}
	spec.Annotations = map[string]string{attendant.ExitAnnotation: r.dirs.exit(id, cs.Name)}
	m := p.mapping()
	if _, err := cl.SnapshotService(snapshotter).Prepare(ctx, c.ID, img.top(), client.WithUserNSRemapperLabels(m, m)); err != nil {
		return fmt.Errorf("preparing the root file system: %w", err)
	}
	_, err = cl.NewContainer(ctx, c.ID,
		client.WithSpec(spec),
		// The pipes of commands that are executed later are its root's, too.
		client.WithRuntime(filepath.Join(r.dirs.bin(), attendant.ShimName), &options.Options{
			BinaryName: r.runc, Root: r.dirs.runcRoot(), IoUid: p.uids, IoGid: p.uids,
		}),
		client.WithContainerLabels(map[string]string{labelImage: img.id}),
		func(_ context.Context, _ *client.Client, c *containers.Container) error {
			c.Snapshotter, c.SnapshotKey = snapshotter, c.ID
			return nil
		},
	)
	return err
}

// labelImage is the label of a container with the digest of its image's configuration.
const labelImage = "apocryph/image"

// readBack asks containerd what a container was made of: its root file system
// has to stand on the layers of its image. It returns the image's id and what
// will run.
func readBack(ctx context.Context, cl *client.Client, c containerRecord, img *image) (string, provider.Exec, error) {
	got, err := cl.ContainerService().Get(ctx, c.ID)
	if err != nil {
		return "", provider.Exec{}, fmt.Errorf("reading container %q back: %w", c.Name, err)
	}
	root, err := cl.SnapshotService(got.Snapshotter).Stat(ctx, got.SnapshotKey)
	if err != nil {
		return "", provider.Exec{}, fmt.Errorf("reading container %q back: %w", c.Name, err)
	}
	if root.Parent != img.top() || got.Labels[labelImage] != img.id {
		return "", provider.Exec{}, status.New(status.Internal, "runtime.readback", "container %q stands on %s, not on its image %s", c.Name, root.Parent, img.top())
	}
	exec, err := execOf(got)
	if err != nil {
		return "", provider.Exec{}, fmt.Errorf("reading container %q back: %w", c.Name, err)
	}
	return got.Labels[labelImage], exec, nil
}

// execOf is what the daemon has stored that a container will run.
func execOf(c containers.Container) (provider.Exec, error) {
	var spec specs.Spec
	if err := typeurl.UnmarshalTo(c.Spec, &spec); err != nil {
		return provider.Exec{}, err
	}
	if spec.Process == nil || spec.Process.Capabilities == nil {
		return provider.Exec{}, status.New(status.Internal, "runtime.readback", "the daemon does not say what it will run")
	}
	// The bounding set is the most that any process of it can have.
	out := provider.Exec{Args: spec.Process.Args, Env: spec.Process.Env, Capabilities: spec.Process.Capabilities.Bounding}
	for _, m := range spec.Mounts {
		out.Mounts = append(out.Mounts, m.Source+":"+m.Destination+":"+strings.Join(m.Options, ","))
	}
	return out, nil
}

func leaseOf(id provider.InstanceID) string { return "i-" + shortHash(32, string(id)) }

func (r *Runtime) cgroup(id provider.InstanceID) string {
	return r.names.cgroup + "/" + shortHash(16, string(id))
}

// gone tells whether containerd says that there is no such thing.
func gone(err error) bool { return err == nil || errdefs.IsNotFound(err) }
