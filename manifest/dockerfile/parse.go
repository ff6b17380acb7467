package dockerfile

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"apocryph/proto/status"
)

const (
	// MaxSize is the most bytes of a Dockerfile: it is held in memory.
	MaxSize = 1 << 20
	// MaxImages and MaxStages bound what is fetched, and what is unpacked, for one file.
	MaxImages, MaxStages = 16, 64
	// maxName bounds a reference, in bytes; the distribution specification has 255 for the name,
	// and a tag or digest comes behind.
	maxName = 512
	// maxWord bounds a word before arguments are put in their places, in bytes: a line of
	// nothing but $A would become hundreds of megabytes.
	maxWord = 4096
	// maxFaults bounds what is told of a file that is wrong on every line.
	maxFaults = 20
)

// scratch is the image with nothing in it.
const scratch = "scratch"

// Platform is what the file is built for.
type Platform struct{ OS, Architecture, Variant string }

func (p Platform) String() string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// Image is an image that a file names.
type Image struct {
	// Name is as in the file, with arguments in their places.
	Name string
	// Line is the first that names it, from 1.
	Line int
}

// File is a Dockerfile that was read.
type File struct {
	// Images are what it needs, each name once, in the order of the file.
	Images []Image
	// Mounted are the names of images behind COPY --from and RUN --mount=from, each once, in the
	// order of the file. They are in Images too.
	Mounted []string

	lines  []line
	escape rune
}

// line is an instruction as it is rendered.
type line struct {
	text string
	// from is the base of a FROM, as what is one of Images where image is set.
	from, as string
	image    bool
}

// stageName is what builders take as a name (BuildKit, instructions/parse.go).
var stageName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// reader reads one file.
type reader struct {
	file     File
	platform Platform
	args     map[string]string
	stages   []string
	// later are the names of all stages.
	later  []string
	faults []status.Fault
}

func (r *reader) fault(at int, got, want string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, status.Fault{Field: "line " + strconv.Itoa(at), Got: got, Want: want})
	}
}

// Parse reads a Dockerfile. Errors are invalid_argument "build.dockerfile", with every
// fault and its line.
func Parse(data []byte, p Platform) (*File, error) {
	if len(data) > MaxSize {
		return nil, status.New(status.InvalidArgument, "build.dockerfile", "the Dockerfile has %d bytes, want at most %d", len(data), MaxSize)
	}
	if bytes.ContainsRune(data, 0) {
		return nil, status.New(status.InvalidArgument, "build.dockerfile", "the Dockerfile has a NUL, want text")
	}
	parsed, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, status.New(status.InvalidArgument, "build.dockerfile", "the Dockerfile cannot be read: %.200q", err.Error())
	}
	r := &reader{platform: p, args: platformArgs(p), file: File{escape: parsed.EscapeToken}}
	for _, n := range parsed.AST.Children {
		if name, ok := alias(n); ok {
			r.later = append(r.later, name)
		}
	}
	for _, n := range parsed.AST.Children {
		r.instruction(n)
	}
	switch {
	case len(r.stages) == 0 && len(r.faults) == 0:
		r.fault(1, "no FROM", "FROM and an image, or FROM scratch")
	case len(r.stages) > MaxStages:
		r.fault(1, fmt.Sprintf("%d stages", len(r.stages)), fmt.Sprintf("at most %d", MaxStages))
	}
	if len(r.file.Images) > MaxImages {
		r.fault(r.file.Images[MaxImages].Line, fmt.Sprintf("%d images", len(r.file.Images)), fmt.Sprintf("at most %d", MaxImages))
	}
	if len(r.faults) > 0 {
		return nil, status.Invalid("build.dockerfile", "the Dockerfile", r.faults)
	}
	return &r.file, nil
}

// alias is the name of a stage: FROM image AS name.
func alias(n *parser.Node) (string, bool) {
	if w := words(n); strings.EqualFold(n.Value, "from") && len(w) == 3 && strings.EqualFold(w[1], "as") {
		return w[2], true
	}
	return "", false
}

// words are what is behind an instruction.
func words(n *parser.Node) []string {
	var out []string
	for w := n.Next; w != nil; w = w.Next {
		out = append(out, w.Value)
	}
	return out
}

func (r *reader) instruction(n *parser.Node) {
	text, name := strings.TrimSpace(n.Original), strings.ToLower(n.Value)
	switch {
	case text == "":
		// A continuation of nothing.
		return
	case len(n.Heredocs) > 0:
		r.fault(n.StartLine, "a heredoc (<<)", "commands joined by && and \\, or a file of the tree: the builder here knows no heredocs")
		return
	case strings.HasSuffix(text, string(r.file.escape)):
		r.fault(n.StartLine, "an instruction that ends in "+string(r.file.escape), "one that builders agree about the end of")
		return
	case len(r.stages) == 0 && name != "arg" && name != "from":
		r.fault(n.StartLine, strings.ToUpper(clip(n.Value)), "FROM first")
		return
	}
	l := line{text: text}
	switch name {
	case "arg":
		if len(r.stages) == 0 {
			r.heading(n)
		}
	case "from":
		l = r.from(n)
	case "copy", "add":
		for _, f := range n.Flags {
			if from, ok := strings.CutPrefix(f, "--from="); ok {
				r.mounts(n.StartLine, from)
			}
		}
	case "run":
		for _, f := range n.Flags {
			if mount, ok := strings.CutPrefix(f, "--mount="); ok {
				for field := range strings.SplitSeq(mount, ",") {
					if from, ok := strings.CutPrefix(field, "from="); ok {
						r.mounts(n.StartLine, from)
					}
				}
			}
		}
	}
	r.file.lines = append(r.file.lines, l)
}

// from reads FROM [--platform=P] NAME [AS STAGE].
func (r *reader) from(n *parser.Node) line {
	w := words(n)
	as, named := alias(n)
	if len(w) != 1 && !named {
		r.fault(n.StartLine, clip(n.Original), "FROM image, or FROM image AS name")
		r.stages = append(r.stages, "")
		return line{}
	}
	if named && (!stageName.MatchString(as) || slices.ContainsFunc(r.stages, func(s string) bool { return strings.EqualFold(s, as) })) {
		r.fault(n.StartLine, "the stage "+clip(as), "a name of a-z, 0-9, -, _ and ., once in the file")
	}
	for _, f := range n.Flags {
		r.platformFlag(n.StartLine, f)
	}
	l := line{as: as}
	base, err := r.expand(w[0])
	at := slices.IndexFunc(r.stages, func(s string) bool { return s != "" && strings.EqualFold(s, base) })
	switch {
	case err != nil:
		r.fault(n.StartLine, clip(w[0]), err.Error())
	case at >= 0:
		l.from = r.stages[at]
	case base == scratch:
		l.from = scratch
	default:
		l.from, l.image = base, true
		r.image(n.StartLine, base)
	}
	r.stages = append(r.stages, as)
	return l
}

// platformFlag reads the flags of FROM: there is one.
func (r *reader) platformFlag(at int, flag string) {
	value, ok := strings.CutPrefix(flag, "--platform=")
	if !ok {
		r.fault(at, clip(flag), "--platform alone")
		return
	}
	got, err := r.expand(value)
	if err != nil {
		r.fault(at, clip(value), err.Error())
		return
	}
	if got != r.platform.String() && got != r.platform.OS+"/"+r.platform.Architecture {
		r.fault(at, "the platform "+clip(got), r.platform.String()+", which is what is built here")
	}
}

// mounts reads what COPY --from and RUN --mount=from name: a stage by name or
// number, or an image.
func (r *reader) mounts(at int, name string) {
	here := len(r.stages) - 1
	if n, err := strconv.Atoi(name); err == nil {
		if n < 0 || n >= here {
			r.fault(at, "from "+clip(name), "the number of an earlier stage")
		}
		return
	}
	if slices.Contains(r.stages[:max(here, 0)], name) {
		return
	}
	switch {
	case slices.ContainsFunc(r.later, func(s string) bool { return strings.EqualFold(s, name) }):
		r.fault(at, "from "+clip(name), "the name of an earlier stage, as it is written there, or of an image that is no stage's")
	case strings.ContainsAny(name, "$\"'\\"):
		r.fault(at, "from "+clip(name), "a name without variables and quotes")
	case name == scratch:
		r.fault(at, "from "+scratch, "an image with something in it")
	default:
		if r.image(at, name) && !slices.Contains(r.file.Mounted, name) {
			r.file.Mounted = append(r.file.Mounted, name)
		}
	}
}

// image notes an image, once.
func (r *reader) image(at int, name string) bool {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '=' }) {
		r.fault(at, "the image "+clip(name), fmt.Sprintf("a name of 1 to %d printable characters of ASCII", maxName))
		return false
	}
	if !slices.ContainsFunc(r.file.Images, func(i Image) bool { return i.Name == name }) {
		r.file.Images = append(r.file.Images, Image{Name: name, Line: at})
	}
	return true
}

// clip is a stranger's text for an error.
func clip(s string) string { return fmt.Sprintf("%.80q", s) }
