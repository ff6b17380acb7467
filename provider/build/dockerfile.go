package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"apocryph/manifest/dockerfile"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// dockerfileScript builds the tree in the working directory and writes the image. Its
// arguments are the architecture, names for the images in ../images, "--", and what
// "buildah build" is told besides. A build in a build needs no further walls around it
// than those that it has: chroot, and files copied instead of mounted. All times are 0.
// Images are those that are there: no registry is asked.
const dockerfileScript = `
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
b() { buildah --root /tmp/storage --runroot /tmp/run "$@"; }
arch=$1 n=0; shift
while [ "$1" != -- ]; do
  id=$(b pull --quiet "oci:/src/images/$n")
  b tag "$id" "$1"
  n=$((n+1)); shift
done
shift
b build --pull-never --network host --timestamp 0 --layers=false --format oci --os linux --arch "$arch" --file ../dockerfile/Dockerfile --tag built "$@" .
b push --quiet --format oci built oci-archive:/out/image.tar:built
`

// dockerfileArgv is the command that builds a Dockerfile with the images that were brought.
func dockerfileArgv(architecture string, f *dockerfile.File, images []brought, ignore string) []string {
	argv := []string{"/bin/sh", "-euc", dockerfileScript, "build", architecture}
	local := map[string]string{}
	for _, i := range images {
		argv = append(argv, i.local)
		local[i.Name] = i.local
	}
	argv = append(argv, "--")
	for _, name := range f.Mounted {
		argv = append(argv, "--build-context", name+"=container-image://"+local[name])
	}
	if ignore != "" {
		argv = append(argv, "--ignorefile", ignore)
	}
	return argv
}

// dockerfile builds the image that a Dockerfile describes, on images that are brought
// to it. What it gives is taken as an image that was uploaded is: nothing about it is
// trusted.
func (b *Builder) dockerfile(ctx context.Context, req Request, res *Result) error {
	base, _, err := b.base(ctx, req, res, "dockerfile")
	if err != nil {
		return err
	}
	name := req.Plan.Entry
	if name == "" {
		name = "Dockerfile"
	}
	file, err := readDockerfile(req, name)
	if err != nil {
		return err
	}
	res.because("building %s", name)
	req.stage("finding images", 5)
	brings, cancel := context.WithTimeout(ctx, bringTime)
	defer cancel()
	images, err := b.bring(brings, req, res, file)
	if err != nil {
		return fmt.Errorf("finding the images of %s: %w", name, err)
	}
	source, err := dockerfileSource(brings, req.FS, file, images)
	if err != nil {
		return err
	}
	req.stage("building", 10)
	out, err := b.run(ctx, req, res, Job{
		Name: "dockerfile", Image: base.Image, Argv: dockerfileArgv(req.Platform.Architecture, file, images, ignoreFile(req.FS, name)), Source: source,
		Dir: "/src/tree", Env: []string{"HOME=/tmp"}, Nested: true,
	})
	if err != nil {
		return err
	}
	defer out.close()
	f, size, err := out.open("image.tar", oci.MaxImageSize)
	if err != nil {
		return err
	}
	res.files = append(res.files, f)
	req.stage("reading", 90)
	img, err := oci.ReadArchive(ctx, f, size, "the built image", req.Platform)
	if err != nil {
		return err
	}
	return describe(img, res)
}

// readDockerfile reads what has to be known of a Dockerfile.
func readDockerfile(req Request, name string) (*dockerfile.File, error) {
	f, err := req.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, status.New(status.InvalidArgument, "build.dockerfile", "there is no %.200q in the tree", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	defer f.Close()
	// One byte more tells a file that is too large from one that is not.
	data, err := io.ReadAll(io.LimitReader(f, dockerfile.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	return dockerfile.Parse(data, dockerfile.Platform{OS: req.Platform.OS, Architecture: req.Platform.Architecture, Variant: req.Platform.Variant})
}

// ignoreFile is the ignore file beside a Dockerfile, which goes before that of the
// tree; empty where there is none.
func ignoreFile(tree fs.FS, name string) string {
	for _, end := range []string{".containerignore", ".dockerignore"} {
		if exists(tree, name+end) {
			return name + end
		}
	}
	return ""
}

// dockerfileSource is what the build is given: the tree, the images, and the
// Dockerfile with their names, which is none of the tree.
func dockerfileSource(ctx context.Context, tree fs.FS, f *dockerfile.File, images []brought) (fs.FS, error) {
	all, local := joined{}, map[string]string{}
	for n, i := range images {
		layout, err := oci.LayoutFS(ctx, i.img)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i.Line, err)
		}
		all[fmt.Sprint(n)], local[i.Name] = lined{layout, i.Image}, i.local
	}
	text := f.Render(func(name string) string { return local[name] })
	return joined{"tree": tree, "images": all, "dockerfile": oneFile{"Dockerfile", text}}, nil
}
