package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newAttest(g *globals) *cobra.Command {
	var policyPath, policyKey, app string
	var explain bool
	cmd := &cobra.Command{
		Use: "attest [PROVIDER]", Short: "Ask a provider for evidence and appraise it",
		Long: `Ask a provider for evidence and appraise it against a policy. The verdict is one
line; --explain shows every check with what it got and wanted. Exit code 12 when
the policy does not affirm.

With --pod the provider also shows its pod log, which has to lead to what its
device shows and to say that the app runs as it was deployed: this manifest and
these images. PROVIDER may be left out then. A policy's section provenance is judged
by what the provider says of how it built them. --explain shows the events, those of
other publishers by their kind alone.`,
		Example: `  publisher attest /ip4/192.0.2.7/tcp/4021/p2p/12D3KooW… --policy policy.yaml
  publisher attest 12D3KooW… --policy policy.yaml --explain
  publisher attest --pod shop --policy policy.yaml`,
	}
	addPolicy(cmd, &policyPath)
	addPolicyKey(cmd, &policyKey)
	cmd.Flags().BoolVar(&explain, "explain", false, "show every check")
	cmd.Flags().StringVar(&app, "pod", "", "`APP` that has to run there as it was deployed")
	_ = cmd.RegisterFlagCompletionFunc("pod", func(cmd *cobra.Command, _ []string, near string) ([]string, cobra.ShellCompDirective) {
		return g.completeApps(cmd, nil, near)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		provider := ""
		if len(args) > 0 {
			provider = args[0]
		} else if app == "" {
			return cli.Usage(cmd, "missing argument PROVIDER")
		}
		t, err := optionalTarget(provider)
		if err != nil {
			return err
		}
		given, err := readGiven(policyPath, policyKey)
		if err != nil {
			return err
		}
		if app != "" {
			return g.at(cmd, app, provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
				if err := s.CheckPolicy(ctx, app.Name, given); err != nil {
					return err
				}
				a, err := s.AttestPod(ctx, app.Provider, given.Policy, app)
				return g.attested(a, app.Provider, &app, explain, policyPath, err)
			})
		}
		return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
			if err := s.CheckPolicy(ctx, "", given); err != nil {
				return err
			}
			a, err := s.Attest(ctx, *t, given.Policy, attest.PurposeProvision, nil)
			if a != nil && given.Policy.WantsBuilds() {
				a.Verdict.Warnings = append(a.Verdict.Warnings, "builds are not judged: the policy's section provenance is about images, see --pod APP and `publisher verify`")
			}
			if err := g.attested(a, *t, nil, explain, policyPath, err); err != nil {
				return err
			}
			return s.UsePolicy(ctx, "", given)
		})
	}
	return cmd
}

// attested shows the outcome of an attestation and returns the error that
// decides the exit code. app is set where the verdict is about one, too.
func (g *globals) attested(a *publisher.Attested, t publisher.Target, app *publisher.App, explain bool, policyPath string, err error) error {
	if a == nil {
		if status.CodeOf(err) == status.Untrusted {
			g.setVerdict(t, attest.Verdict{})
		}
		return withPolicyHint(err, policyPath)
	}
	v := a.Verdict
	if err != nil {
		// Not authentic: the checks so far are all there is to say.
		v = attest.Verdict{}
		if a.Result != nil {
			v.Checks = a.Result.Checks
		}
	}
	if app != nil {
		g.setPodVerdict(t, v, *app, a.Log)
	} else {
		g.setVerdict(t, v)
	}
	g.printVerdict(v, explain)
	if app != nil && explain {
		g.printLog(a.Log)
	}
	if err == nil && !v.Affirmed {
		err = notAffirmed(v, explain)
	}
	return withPolicyHint(err, policyPath)
}

// addPolicy adds --policy.
func addPolicy(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "policy", "", "policy `FILE` (default: the built-in one, which accepts SEV-SNP and TDX)")
	cli.CompleteYAML(cmd, "policy")
}

// withPolicyHint says to whom has no policy that the built-in one is not the
// only one there may be.
func withPolicyHint(err error, policyPath string) error {
	var e *status.Error
	if policyPath != "" || !errors.As(err, &e) || e.Code != status.Untrusted || e.Hint != "" {
		return err
	}
	return status.Wrap(err, e.Code, e.Reason, "the built-in policy does not accept this provider").
		WithHint("`publisher policy init --from PROVIDER -o policy.yaml` writes a policy from what it shows; review it, then use --policy policy.yaml")
}

func notAffirmed(v attest.Verdict, explained bool) error {
	c, _ := v.Failed()
	e := status.New(status.Untrusted, "attest.denied", "the policy does not affirm this provider: %s %s", c.Code, c.Name)
	if explained {
		return e
	}
	return e.WithHint("--explain shows every check")
}

type verdictCheck struct {
	Code   string `json:"code"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Anchor string `json:"anchor"`
	Got    string `json:"got,omitempty"`
	Want   string `json:"want,omitempty"`
	Policy string `json:"policy,omitempty"`
}

// verdictResult is a verdict as --json has it.
type verdictResult struct {
	Provider publisher.ProviderID `json:"provider"`
	Affirmed bool                 `json:"affirmed"`
	Verdict  string               `json:"verdict"`
	Level    attest.Level         `json:"level,omitempty"`
	Platform string               `json:"platform,omitempty"`
	Expires  *time.Time           `json:"expires,omitempty"`
	Warnings []string             `json:"warnings"`
	Checks   []verdictCheck       `json:"checks"`
}

func newVerdictResult(id publisher.ProviderID, v attest.Verdict) verdictResult {
	out := verdictResult{
		Provider: id, Affirmed: v.Affirmed, Verdict: policy.SummaryLine(v), Level: v.Level, Platform: v.Platform,
		Warnings: append([]string{}, v.Warnings...), Checks: []verdictCheck{},
	}
	if !v.ExpiresAt.IsZero() {
		out.Expires = &v.ExpiresAt
	}
	for _, c := range v.Checks {
		out.Checks = append(out.Checks, verdictCheck{c.Code, c.Name, c.OK, string(c.Anchor), c.Got, c.Want, c.Policy})
	}
	return out
}

func (g *globals) setVerdict(t publisher.Target, v attest.Verdict) {
	g.app.Result(newVerdictResult(t.ID, v))
}

func (g *globals) printVerdict(v attest.Verdict, explain bool) {
	if g.app.JSON {
		return
	}
	fmt.Fprintln(g.app.Stdout, cli.Clean(policy.SummaryLine(v)))
	if explain {
		fmt.Fprint(g.app.Stdout, "\n"+cli.CleanLines(policy.ExplainVerdict(v)))
	}
}
