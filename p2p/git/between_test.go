package git_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/commit"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

// TestCommits lists what came between two commits, and refuses what is on no branch.
func TestCommits(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	var ids []string
	for _, text := range []string{"1", "2", "3", "4"} {
		ids = append(ids, r.Commit("main", map[string]string{"a": text}))
	}
	fork := r.Fork("mallory/app")
	foreign := fork.Commit("main", map[string]string{"a": "evil"})
	f := newFetcher(t, s)
	w := git.Want{Slug: r.Slug(""), Branch: "main"}
	for name, c := range map[string]struct {
		id, after string
		limit     int
		want      []string
		reason    string
	}{
		"between":      {ids[3], ids[1], 9, []string{ids[3], ids[2]}, ""},
		"the same":     {ids[2], ids[2], 9, nil, ""},
		"older":        {ids[1], ids[3], 9, nil, ""},
		"all":          {ids[2], "", 9, []string{ids[2], ids[1], ids[0]}, ""},
		"after a lost": {ids[1], strings.Repeat("0", 40), 9, []string{ids[1], ids[0]}, ""},
		"too many":     {ids[3], "", 3, nil, git.ReasonSize},
		"of a fork":    {foreign, "", 9, nil, git.ReasonNotOnBranch},
		"an option":    {"--all", "", 9, nil, git.ReasonRef},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := f.Commits(t.Context(), w, c.id, c.after, c.limit)
			if status.ReasonOf(err) != c.reason {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, raw := range all {
				got = append(got, commit.ID(raw))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
