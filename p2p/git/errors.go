package git

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"apocryph/proto/status"
)

// The reasons of errors.
const (
	// ReasonRef is a reference that the repository does not have, or that is not
	// taken here (InvalidArgument).
	ReasonRef = "git.ref_not_found"
	// ReasonAmbiguous is a reference with several meanings (InvalidArgument).
	ReasonAmbiguous = "git.ref_ambiguous"
	// ReasonNotOnBranch is a commit that the branch does not lead to (InvalidArgument).
	ReasonNotOnBranch = "git.not_on_branch"
	// ReasonBranchGone is a branch that the configuration names, and that is not
	// there (InvalidArgument). It is never an empty tree.
	ReasonBranchGone = "git.branch_gone"
	// ReasonRepository is a repository that is not there, or not for everyone:
	// hosts do not tell which (InvalidArgument).
	ReasonRepository = "git.repository"
	// ReasonHost is a host in a private network (PermissionDenied).
	ReasonHost = "git.host"
	// ReasonAuth is a credential that was not taken (PermissionDenied).
	ReasonAuth = "git.auth"
	// ReasonUnavailable is a host that does not answer (Unavailable).
	ReasonUnavailable = "git.unavailable"
	// ReasonSize is a limit of [Limits] (ResourceExhausted).
	ReasonSize = "git.size"
	// ReasonProtocol is an answer that is none, or objects that git refuses (InvalidArgument).
	ReasonProtocol = "git.protocol"
	// ReasonTree are files that are not the tree of the commit (InvalidArgument).
	ReasonTree = "git.tree"
	// ReasonSubmodules are submodules that were not asked for, or cannot be had (InvalidArgument).
	ReasonSubmodules = "git.submodules"
	// ReasonPath is a path that the tree does not have as a directory (InvalidArgument).
	ReasonPath = "git.path_not_found"
	// ReasonFile is a repository of this machine that the operator does not allow (PermissionDenied).
	ReasonFile = "git.file"
)

var (
	errOutput = errors.New("git wrote more than it may")
	errDisk   = errors.New("git filled more of the disk than it may")
)

// failure is a run of git that ended badly. Its text has nothing of what git
// wrote: a server may send back what it was sent, such as a credential.
type failure struct {
	command string
	exit    int
	class   class
}

func (f *failure) Error() string {
	return "git " + f.command + " ended with " + strconv.Itoa(f.exit) + " (" + string(f.class) + ")"
}

// class is what a message of git means.
type class string

const (
	classOther      class = "no known message"
	classMissing    class = "no such repository"
	classAuth       class = "not authorised"
	classNoRef      class = "no such reference"
	classNotOffered class = "object not offered"
	classHost       class = "host not available"
	classObjects    class = "bad objects"
	// classSize is a child of git that ended without a word, as one does that met
	// a limit.
	classSize class = "a limit was met"
)

// messages of git 2.39 to 2.51, with LC_ALL=C, the first that is found counts.
// Those of the network come last: they follow the others.
var messages = []struct {
	text string
	class
}{
	{"couldn't find remote ref", classNoRef},
	{"not our ref", classNotOffered},
	{"Server does not allow request for unadvertised object", classNotOffered},
	{"Authentication failed", classAuth},
	{"could not read Username", classAuth},
	{"could not read Password", classAuth},
	{"terminal prompts disabled", classAuth},
	{"returned error: 401", classAuth},
	{"returned error: 403", classAuth},
	{"returned error: 404", classMissing},
	{"fsck error", classObjects},
	{"protocol error", classObjects},
	{"repository corruption on the remote side", classObjects},
	{"bad object", classObjects},
	{"invalid tree", classObjects},
	{"a blob, not a tree", classObjects},
	{"fatal: pack is corrupted", classObjects},
	{"inflate returned", classObjects},
	{"index-pack failed", classObjects},
	{"invalid index-pack output", classSize},
	{"does not appear to be a git repository", classMissing},
	{"not found", classMissing},
	{"does not exist", classMissing},
	{"unable to access", classHost},
	{"Could not resolve host", classHost},
	{"early EOF", classHost},
	{"RPC failed", classHost},
	{"unexpected disconnect", classHost},
	{"the remote end hung up", classHost},
	{"expected flush after", classHost},
}

func classify(stderr string) class {
	for _, m := range messages {
		if strings.Contains(stderr, m.text) {
			return m.class
		}
	}
	return classOther
}

// upstream turns an error of a run that talked to a server into one to show.
func (j *job) upstream(err error) error {
	var f *failure
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOutput) || errors.Is(err, errDisk):
		return j.tooLarge(err)
	case !errors.As(err, &f):
		return err
	}
	switch f.class {
	case classAuth:
		if j.want.Credential != nil {
			return status.Wrap(err, status.PermissionDenied, ReasonAuth, "the credential does not open the repository %s", j.name).
				WithHint("store one that may read it, and that has not expired")
		}
		fallthrough
	case classMissing:
		if j.want.Credential != nil {
			return status.Wrap(err, status.InvalidArgument, ReasonRepository, "there is no repository %s, or the credential may not read it", j.name).
				WithHint("check the name, and what the credential may read")
		}
		return status.Wrap(err, status.InvalidArgument, ReasonRepository, "there is no repository %s, or it is not public", j.name).
			WithHint("check the name; a private repository needs a credential")
	case classNoRef, classNotOffered:
		return status.Wrap(err, status.InvalidArgument, ReasonRef, "what was found in the repository %s has gone meanwhile", j.name).
			WithHint("try again")
	case classSize:
		return j.tooLarge(err)
	case classObjects:
		return status.Wrap(err, status.InvalidArgument, ReasonProtocol, "the repository %s has objects, or sends answers, that git refuses", j.name).
			WithHint("run git fsck there")
	}
	return status.Wrap(err, status.Unavailable, ReasonUnavailable, "the repository %s cannot be read at present", j.name)
}

func (j *job) tooLarge(cause error) error {
	return status.Wrap(cause, status.ResourceExhausted, ReasonSize, "the repository %s is larger than %d bytes, or its history or list of references than is read here", j.name, j.limits.Bytes).
		WithHint("deploy from a smaller repository, or ask the operator for more")
}

// ended tells the end of a call's time apart from that of the caller's.
func (j *job) ended(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errTime) {
		return status.Wrap(err, status.Unavailable, ReasonUnavailable, "the repository %s was not read within %s", j.name, j.limits.Time)
	}
	return err
}

var errTime = errors.New("the time for reading a repository is over")
