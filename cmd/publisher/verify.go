package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/state"
)

// verifyFlags are those of `publisher verify`.
type verifyFlags struct {
	policy, policyKey, nonce, at, host, evidence, manifest, dial string
	images, provenance                                           []string
	offline, explain                                             bool
}

func newVerify(g *globals) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify URL|RECEIPT|FILE", Short: "Verify what serves an app, as its users can",
		Long: `Verify what serves an app. Of a URL, its provider is asked for evidence with a fresh
nonce, and the evidence must name the key of this very connection. A FILE is what
curl saved of https://HOST/.well-known/apocryph/attestation?nonce=HEX, a RECEIPT the
signed statement in it; - reads standard input. Files need no network: --offline
says that there shall be none. A receipt alone is believed when its key was attested
from here before, by attest, deploy or verify, or in the --evidence given.

A policy that is older than one used from here before is refused, and so is one
that is not signed by --policy-key, or by the key that was demanded before.

Exit code 12 when the policy does not affirm, or what runs is not what is expected.`,
		Example: `  publisher verify https://app-1a2b3c4d.example.org --policy policy.yaml
  nonce=$(openssl rand -hex 32)
  curl -k "https://app-1a2b3c4d.example.org/.well-known/apocryph/attestation?nonce=$nonce" -o evidence.json
  publisher verify evidence.json --offline --nonce $nonce --policy policy.yaml`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	addPolicy(cmd, &f.policy)
	addPolicyKey(cmd, &f.policyKey)
	fs := cmd.Flags()
	fs.BoolVar(&f.explain, "explain", false, "show every check")
	fs.BoolVar(&f.offline, "offline", false, "use no network; refuses a URL")
	fs.StringVar(&f.nonce, "nonce", "", "`HEX` that the file was asked with; without it freshness is not shown")
	fs.StringVar(&f.at, "at", "", "judge a file as of `TIME`, such as 2026-11-21T10:00:00Z (default: now)")
	fs.StringVar(&f.host, "host", "", "`HOST` that the file was asked from (default: the one that it names)")
	fs.StringVar(&f.evidence, "evidence", "", "`FILE` of evidence that names the key of the receipt")
	fs.StringVar(&f.manifest, "manifest", "", "`DIGEST` of the manifest that has to run, sha256:HEX")
	fs.StringArrayVar(&f.images, "image", nil, "`ID` of an image that may run, sha256:HEX, repeatable; no other one may then")
	fs.StringArrayVar(&f.provenance, "provenance", nil, "`FILE` with a statement about how an image of a receipt was built, repeatable")
	fs.StringVar(&f.dial, "dial", "", "`IP:PORT` to connect to in place of the URL's host")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return g.verify(cmd, args[0], f) }
	return cmd
}

func isURL(s string) bool {
	s = strings.ToLower(s)
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

func (g *globals) verify(cmd *cobra.Command, what string, f verifyFlags) error {
	if err := f.check(cmd, isURL(what)); err != nil {
		return err
	}
	given, err := readGiven(f.policy, f.policyKey)
	if err != nil {
		return err
	}
	v, err := f.verifier(given)
	if err != nil {
		return err
	}
	n, err := g.node()
	if err != nil {
		return err
	}
	st, err := n.State()
	if err != nil {
		return err
	}
	if err := publisher.CheckPolicy(cmd.Context(), st, "", given); err != nil {
		return err
	}
	v.Machines = st.Machines()
	var r *client.Report
	if isURL(what) {
		r, err = g.verifyURL(cmd.Context(), v, what, st)
	} else {
		r, err = g.verifyFile(v, what, f, st)
	}
	if r != nil {
		g.setReport(r)
		if err := g.printReport(r, f.explain); err != nil {
			return err
		}
	}
	if err := f.hint(r, err, isURL(what)); err != nil {
		return err
	}
	return publisher.UsePolicy(cmd.Context(), st, "", given, time.Now())
}

// check refuses flags that say nothing of what is verified.
func (f *verifyFlags) check(cmd *cobra.Command, url bool) error {
	if url && f.offline {
		return cli.Usage(cmd, "--offline cannot be used with a URL: asking it takes a network")
	}
	for _, name := range []string{"nonce", "at", "host", "evidence", "provenance"} {
		if url && cmd.Flags().Changed(name) {
			return cli.Usage(cmd, "--%s is for files, not for a URL", name)
		}
	}
	if !url && f.dial != "" {
		return cli.Usage(cmd, "--dial is for a URL, not for files")
	}
	return nil
}

func (f *verifyFlags) verifier(given publisher.GivenPolicy) (*client.Verifier, error) {
	v := &client.Verifier{Expect: client.Expect{Images: f.images}}
	var faults []status.Fault
	if f.policy != "" {
		// Without one a receipt is judged by the policy that affirmed its key.
		v.Policy = given.Policy
	}
	for _, id := range f.images {
		if _, ok := parseDigest(id); !ok {
			faults = append(faults, status.Fault{Field: "image", Got: id, Want: "sha256: and 64 hexadecimal digits"})
		}
	}
	if f.manifest != "" {
		d, ok := parseDigest(f.manifest)
		if !ok {
			faults = append(faults, status.Fault{Field: "manifest", Got: f.manifest, Want: "sha256: and 64 hexadecimal digits"})
		}
		v.Expect.Manifest = &d
	}
	if f.dial != "" {
		if _, _, err := net.SplitHostPort(f.dial); err != nil {
			faults = append(faults, status.Fault{Field: "dial", Got: f.dial, Want: "IP:PORT"})
		}
		v.Base = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, f.dial)
		}}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("verify.flags", "what to verify", faults)
	}
	return v, nil
}

func parseDigest(s string) (d manifest.Digest, ok bool) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "sha256:"))
	if err != nil || len(b) != len(d) {
		return d, false
	}
	d = manifest.Digest(b)
	return d, d.String() == s
}

func (g *globals) verifyURL(ctx context.Context, v *client.Verifier, url string, st *state.State) (*client.Report, error) {
	r, err := v.Verify(ctx, url)
	if r == nil || err != nil {
		return r, err
	}
	p := v.Policy
	if p == nil {
		p = policy.Builtin()
	}
	if k, ok := client.KeyOf(r.Result, r.Verdict, p, r.At); ok {
		// What comes later by this key is believed then.
		return r, st.ReceiptKeys().RememberKey(k)
	}
	return r, nil
}

func (g *globals) verifyFile(v *client.Verifier, path string, f verifyFlags, st *state.State) (*client.Report, error) {
	b, err := g.readEvidence(path)
	if err != nil {
		return nil, err
	}
	d, err := f.document()
	if err != nil {
		return nil, err
	}
	for _, name := range f.provenance {
		envelope, err := readFile(name, "statement about a build", "the member provenance of what curl saved of the endpoint has them")
		if err != nil {
			return nil, err
		}
		d.Provenance = append(d.Provenance, envelope)
	}
	isReceipt, err := kindOf(b)
	switch {
	case err != nil:
		return nil, err
	case isReceipt && f.evidence == "":
		if f.at != "" {
			at := d.At
			v.Now = func() time.Time { return at }
		}
		return verifyReceipt(v, b, d.Provenance, st)
	case isReceipt:
		d.Receipt = b
		if d.Body, err = g.readEvidence(f.evidence); err != nil {
			return nil, err
		}
	case f.evidence != "":
		return nil, status.New(status.InvalidArgument, "verify.evidence", "--evidence is for a receipt, and the file is evidence itself")
	default:
		d.Body = b
	}
	return v.VerifyDocument(d)
}

func (g *globals) readEvidence(path string) ([]byte, error) {
	if path != "-" {
		return readFile(path, "evidence", "`publisher verify --help` shows how to save it with curl")
	}
	b, err := io.ReadAll(io.LimitReader(g.app.Stdin, attest.MaxEndpoint+1))
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "evidence.read", "reading standard input")
	}
	return b, nil
}

// kindOf tells a receipt's envelope from a document with evidence.
func kindOf(b []byte) (isReceipt bool, err error) {
	var head struct {
		PayloadType *json.RawMessage `json:"payloadType"`
		Result      *json.RawMessage `json:"result"`
	}
	if json.Unmarshal(b, &head) != nil || (head.PayloadType == nil) == (head.Result == nil) {
		return false, status.New(status.InvalidArgument, "verify.kind", "the file is neither evidence of an endpoint nor a receipt").
			WithHint("`publisher verify --help` shows how to save evidence with curl")
	}
	return head.PayloadType != nil, nil
}

func (f *verifyFlags) document() (d client.Document, err error) {
	var faults []status.Fault
	if f.nonce != "" {
		b, err := hex.DecodeString(f.nonce)
		if err != nil || len(b) != attest.NonceSize || [attest.NonceSize]byte(b) == [attest.NonceSize]byte{} {
			faults = append(faults, status.Fault{Field: "nonce", Got: f.nonce, Want: "64 hexadecimal digits, as the file was asked with"})
		} else {
			d.Nonce = [attest.NonceSize]byte(b)
		}
	}
	if f.at != "" {
		if d.At, err = time.Parse(time.RFC3339, f.at); err != nil || d.At.IsZero() {
			faults = append(faults, status.Fault{Field: "at", Got: f.at, Want: "a time such as 2026-11-21T10:00:00Z"})
		}
	}
	d.Host = f.host
	if len(faults) > 0 {
		return d, status.Invalid("verify.flags", "what to verify", faults)
	}
	return d, nil
}

// verifyReceipt judges a receipt by what is remembered of its key.
func verifyReceipt(v *client.Verifier, b []byte, builds [][]byte, st *state.State) (*client.Report, error) {
	id, err := receipt.SignerOf(b)
	if err != nil {
		return nil, err
	}
	k, err := st.ReceiptKeys().Key(id)
	if status.CodeOf(err) == status.NotFound {
		return nil, status.Wrap(err, status.Untrusted, "verify.receipt_key", "nobody has shown from here whose key signed the receipt").
			WithHint("attest the provider first (`publisher verify URL`, or `publisher attest PROVIDER`), or add --evidence FILE with evidence of the same provider")
	}
	if err != nil {
		return nil, err
	}
	return v.VerifyReceipt(b, k, builds...)
}
