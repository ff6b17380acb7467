package main

import (
	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/provider/providerd"
)

// addSource adds the flags of builds from source.
func addSource(cmd *cobra.Command, c *providerd.SourceConfig) {
	f := cmd.Flags()
	f.StringArrayVar(&c.Bases, "base", nil, "base image of builds, as `ROLE=REF`: python, node, go or dockerfile, and oci:DIR, NAME@sha256:… or ipfs:CID; repeatable")
	f.StringVar(&c.BasesDir, "bases", "", "`DIR` of base images, as make bases writes it (default: DATA_DIR/bases, if it is there)")
	f.StringArrayVar(&c.AllowFiles, "git-allow-file", nil, "`DIR` whose repositories may be built as file:// by everybody who deploys, repeatable (default: none)")
	f.StringArrayVar(&c.AllowHosts, "git-allow-host", nil, "`HOST[:PORT]` in a private network that git+https://HOST/PATH may name, repeatable (default: none)")
	f.StringArrayVar(&c.AllowRegistries, "registry-allow-host", nil, "`HOST[:PORT]` of a registry in a private network that Dockerfiles may name, repeatable (default: none)")
	f.StringVar(&c.GitHub, "git-github-url", "", "`URL` that stands for GitHub in gh:OWNER/REPO (default: https://github.com)")
	f.StringVar(&c.GitHubAPI, "git-github-api-url", "", "`URL` of its API (default: https://api.github.com)")
	f.StringVar(&c.GitLab, "git-gitlab-url", "", "`URL` that stands for GitLab in gl:GROUP/REPO (default: https://gitlab.com)")
	f.StringArrayVar(&c.Env, "build-env", nil, "public `NAME=VALUE` for commands of builds, such as PIP_INDEX_URL, NPM_CONFIG_REGISTRY or GOPROXY; repeatable")
	f.StringVar(&c.Egress, "build-egress", "on", "whether commands of builds reach the internet: `on|off`")
	f.UintVar(&c.Workers, "build-workers", 2, "`NUMBER` of builds at once")
	f.StringVar(&c.Limits.Memory, "build-memory", "", "`BYTES` of memory of a command of a build (default: 2Gi)")
	f.StringVar(&c.Limits.Disk, "build-disk", "", "`BYTES` of disk that a command of a build has for its source, output and temporary files (default: 4Gi)")
	f.StringVar(&c.Limits.Cache, "build-cache", "", "`BYTES` of a cache of packages or compiled parts; a namespace has up to four (default: 1Gi)")
	f.DurationVar(&c.Limits.Time, "build-time", 0, "`DURATION` that a command of a build may take (default: 15m)")
	cli.Complete(cmd, "build-egress", "on", "off")
}
