package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// signatureSuffix is what a policy's signature has behind the policy's name.
const signatureSuffix = ".sig"

func newPolicyKeygen(g *globals) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "keygen", Short: "Make a key that signs policies",
		Long: `Make a key that signs policies. The private key goes to the file, with mode 0600;
what goes to standard output is for --policy-key. Keep the file away from the
machines that deploy: whoever has it decides what they trust.`,
		Example: "  publisher policy keygen -o policy.key",
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write, which must not exist")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			return cli.Usage(cmd, "--output is missing: a private key is not printed")
		}
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		b, err := policy.MarshalKey(private)
		if err != nil {
			return err
		}
		if err := writeNew(out, b, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(g.app.Stderr, "wrote %s\n", cli.Clean(out))
		g.app.Result(struct {
			File string `json:"file"`
			Key  string `json:"key"`
		}{out, policy.KeyText(public)})
		if !g.app.JSON {
			fmt.Fprintln(g.app.Stdout, policy.KeyText(public))
		}
		return nil
	}
	return cmd
}

func newPolicySign(g *globals) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "sign FILE", Short: "Sign a policy, beside its file",
		Long: `Sign a policy. The signature is a DSSE envelope in FILE.sig, in place of an earlier
one; it is over the exact bytes of FILE. Raise the policy's version with every
edit: where a version was used, no older one is accepted any more.`,
		Example: `  publisher policy sign policy.yaml --key policy.key
  publisher deploy app.yaml --policy policy.yaml --policy-key ed25519:9f3c…`,
		ValidArgsFunction: cli.YAMLFiles,
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "private key `FILE`, made by `publisher policy keygen`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if keyFile == "" {
			return cli.Usage(cmd, "--key is missing")
		}
		p, file, err := readPolicy(args[0])
		if err != nil {
			return err
		}
		b, err := readFile(keyFile, "key", "`publisher policy keygen -o FILE` makes one")
		if err != nil {
			return err
		}
		key, err := policy.ParseKey(b)
		if err != nil {
			return err
		}
		signed, err := policy.Sign(file, key)
		if err != nil {
			return err
		}
		out := args[0] + signatureSuffix
		if err := replaceFile(out, signed, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(g.app.Stderr, "wrote %s\n", cli.Clean(out))
		g.app.Result(struct {
			File    string `json:"file"`
			Version int    `json:"version"`
			Digest  string `json:"digest"`
			Key     string `json:"key"`
		}{out, p.Version, fmt.Sprintf("sha256:%x", p.Digest()), policy.KeyText(key.Public().(ed25519.PublicKey))})
		return nil
	}
	return cmd
}

// addPolicyKey adds --policy-key.
func addPolicyKey(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "policy-key", "", "public `KEY` that must have signed the policy: ed25519:HEX, see `publisher policy keygen`")
}

// addDevice adds the flags of the device that this machine proves itself with.
func (g *globals) addDevice(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.cfg.TEE, "tee", "", "`KIND` of evidence about this machine for providers that demand it: tpm2, or soft (development, NOT SECURE)")
	cmd.Flags().StringVar(&g.cfg.TPM, "tpm", "/dev/tpmrm0", "TPM 2.0 `DEVICE` of --tee tpm2, or unix:SOCKET")
	cli.Complete(cmd, "tee", "tpm2", "soft")
}

// readGiven reads a policy with its signature, where there is one beside it.
func readGiven(path, keyText string) (publisher.GivenPolicy, error) {
	p, file, err := readPolicy(path)
	if err != nil {
		return publisher.GivenPolicy{}, err
	}
	g := publisher.GivenPolicy{Policy: p, File: file}
	if keyText != "" {
		if g.Key, err = policy.ParseKeyText(keyText); err != nil {
			return g, fmt.Errorf("--policy-key: %w", err)
		}
	}
	if path == "" {
		return g, nil
	}
	g.Signature, err = readFile(path+signatureSuffix, "signature", "")
	if status.ReasonOf(err) == "signature.read" {
		// Unsigned, which is refused where a signature is demanded.
		return g, nil
	}
	return g, err
}
