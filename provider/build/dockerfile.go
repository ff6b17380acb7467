package build

import (
	"context"

	"apocryph/p2p/oci"
)

// dockerfileScript builds the tree in the working directory and writes the image. Its
// arguments are the Dockerfile and the architecture. A build in a build needs no
// further walls around it than those that it has: chroot, and files copied
// instead of mounted. All times are 0.
const dockerfileScript = `
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah --root /tmp/storage --runroot /tmp/run build --network host --timestamp 0 --layers=false --format oci --os linux --arch "$2" --file "$1" --tag built .
buildah --root /tmp/storage --runroot /tmp/run push --quiet --format oci built oci-archive:/out/image.tar:built
`

// dockerfileArgv is the command that builds a Dockerfile.
func dockerfileArgv(name, architecture string) []string {
	return []string{"/bin/sh", "-euc", dockerfileScript, "build", name, architecture}
}

// dockerfile builds the image that a Dockerfile describes. What it gives is taken as
// an image that was uploaded is: nothing about it is trusted.
func (b *Builder) dockerfile(ctx context.Context, req Request, res *Result) error {
	base, _, err := b.base(ctx, req, res, "dockerfile")
	if err != nil {
		return err
	}
	name := req.Plan.Entry
	if name == "" {
		name = "Dockerfile"
	}
	res.because("building %s", name)
	req.stage("building", 10)
	out, err := b.run(ctx, req, res, Job{
		Name: "dockerfile", Image: base.Image, Argv: dockerfileArgv(name, req.Platform.Architecture), Source: req.FS, Env: []string{"HOME=/tmp"},
		Nested: true,
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
