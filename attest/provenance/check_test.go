package provenance

import (
	"strings"
	"testing"
	"time"

	"apocryph/proto/status"
)

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Build)
		field string
	}{
		"no id":                {func(b *Build) { b.ID = "" }, "id"},
		"no builder":           {func(b *Build) { b.Builder = "" }, "builder"},
		"escape sequence":      {func(b *Build) { b.Runtime = "\x1b[2J" }, "runtime"},
		"no UTF-8":             {func(b *Build) { b.Entry = "\xff" }, "entry"},
		"long text":            {func(b *Build) { b.Entry = strings.Repeat("x", maxText+1) }, "entry"},
		"image by tag":         {func(b *Build) { b.ImageID = "web:latest" }, "image_id"},
		"upper-case digest":    {func(b *Build) { b.Image = strings.ToUpper(b.Image) }, "image"},
		"short binary":         {func(b *Build) { b.Binary = b.Binary[:20] }, "binary"},
		"SBOM":                 {func(b *Build) { b.SBOM = "x" }, "sbom"},
		"no start":             {func(b *Build) { b.Started = time.Time{} }, "started"},
		"ended before":         {func(b *Build) { b.Finished = b.Started.Add(-time.Second) }, "finished"},
		"from nowhere":         {func(b *Build) { b.Source = nil }, "upload"},
		"from two places":      {func(b *Build) { b.Upload = digest("x") }, "upload"},
		"parameter":            {func(b *Build) { b.Parameters["\n"] = "" }, "parameters"},
		"parameter's value":    {func(b *Build) { b.Parameters["a"] = "\xff" }, "parameters.a"},
		"argv":                 {func(b *Build) { b.Argv[1] = "\xff" }, "argv[1]"},
		"many arguments":       {func(b *Build) { b.Argv = make([]string, MaxParameters+1) }, "argv"},
		"many materials":       {func(b *Build) { b.Materials = make([]Material, MaxMaterials+1) }, "materials"},
		"material's name":      {func(b *Build) { b.Materials[1].Name = "" }, "materials[1].name"},
		"material's URI":       {func(b *Build) { b.Materials[0].URI = "" }, "materials[0].uri"},
		"no digest":            {func(b *Build) { b.Materials[0].Digest = nil }, "materials[0].digest"},
		"unknown digest":       {func(b *Build) { b.Materials[0].Digest = map[string]string{"md5": "00"} }, "materials[0].digest"},
		"digest of other size": {func(b *Build) { b.Materials[0].Digest["sha256"] = "00" }, "materials[0].digest"},
		"http, user":           {func(b *Build) { b.Source.Repository = "http://127.0.0.1:80@example.org/o/r" }, "source.repository"},
		"http, no host":        {func(b *Build) { b.Source.Repository = "http:///o/r" }, "source.repository"},
		"https, port alone":    {func(b *Build) { b.Source.Repository = "https://:80/o/r" }, "source.repository"},
		"host alone":           {func(b *Build) { b.Source.Repository = "http://git.example" }, "source.repository"},
		"no slashes":           {func(b *Build) { b.Source.Repository = "https:github.com/o/r" }, "source.repository"},
		"upper-case scheme":    {func(b *Build) { b.Source.Repository = "HTTP://git.example/o/r" }, "source.repository"},
		"upper-case host":      {func(b *Build) { b.Source.Repository = "https://GitHub.com/o/r" }, "source.repository"},
		"ssh":                  {func(b *Build) { b.Source.Repository = "ssh://git.example/o/r" }, "source.repository"},
		"git protocol":         {func(b *Build) { b.Source.Repository = "git://git.example/o/r" }, "source.repository"},
		"query":                {func(b *Build) { b.Source.Repository = "https://github.com/o/r?x" }, "source.repository"},
		"file on a host":       {func(b *Build) { b.Source.Repository = "file://host/o/r" }, "source.repository"},
		"user":                 {func(b *Build) { b.Source.Repository = "https://u@github.com/o/r" }, "source.repository"},
		"short branch":         {func(b *Build) { b.Source.Branch = "main" }, "source.branch"},
		"ref":                  {func(b *Build) { b.Source.Ref = "\x00" }, "source.ref"},
		"path":                 {func(b *Build) { b.Source.Path = "\t" }, "source.path"},
		"signer":               {func(b *Build) { b.Source.Signer = "\t" }, "source.signer"},
		"method":               {func(b *Build) { b.Source.Method = "copy" }, "source.method"},
		"no object":            {func(b *Build) { b.Source.Object = nil }, "source.object"},
		"large object":         {func(b *Build) { b.Source.Object = make([]byte, MaxObject+1) }, "source.object"},
		"another commit":       {func(b *Build) { b.Source.Commit = strings.Repeat("0", 40) }, "source.commit"},
		"commit in another case": {func(b *Build) {
			b.Source.Commit = strings.ToUpper(b.Source.Commit)
		}, "source.commit"},
		"another tree":   {func(b *Build) { b.Source.Tree = strings.Repeat("0", 40) }, "source.tree"},
		"no tree at all": {func(b *Build) { b.Source.Object, b.Source.Tree = []byte("parent x\n"), "" }, "source.object"},
		"tree is no id":  {func(b *Build) { b.Source.Object, b.Source.Tree = []byte("tree x\n"), "x" }, "source.object"},
		"no line":        {func(b *Build) { b.Source.Object = []byte("tree " + tree) }, "source.object"},
	} {
		t.Run(name, func(t *testing.T) {
			b := sample()
			tt.spoil(&b)
			err := b.Check()
			refused(t, err, status.InvalidArgument, "provenance.invalid")
			found := false
			for _, f := range status.Public(err).Faults {
				found = found || f.Field == tt.field
			}
			if !found {
				t.Errorf("got %v, want a fault of %s", status.Public(err).Faults, tt.field)
			}
			if _, err := Encode(b); err == nil {
				t.Error("it encodes")
			}
		})
	}
	err := Build{Materials: make([]Material, MaxMaterials)}.Check()
	if n := len(status.Public(err).Faults); n != maxFaults {
		t.Errorf("got %d faults, want %d", n, maxFaults)
	}
}

// TestRepositories: where the builder asked is said as it is, also without TLS.
func TestRepositories(t *testing.T) {
	for _, url := range []string{"https://github.com/o/r", "https://git.example:8443/a/b/c", "http://git.internal:3000/o/r", "http://127.0.0.1:80/o/r", "http://[::1]:80/o/r", "file:///srv/git/r"} {
		b := sample()
		b.Source.Repository = url
		got, err := Decode(encoded(t, b))
		if err != nil || got.Source.Repository != url {
			t.Errorf("%s: got %v, %v", url, got.Source, err)
		}
	}
}

// A bit of the commit object changes its id.
func TestEveryBitOfTheObject(t *testing.T) {
	for i := range len(object) * 8 {
		b := sample()
		b.Source.Object[i/8] ^= 1 << (i % 8)
		if b.Check() == nil {
			t.Fatalf("bit %d is flipped, and nobody notices", i)
		}
	}
}
