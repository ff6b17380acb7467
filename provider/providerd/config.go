package providerd

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"apocryph/attest"
	"apocryph/attest/device/collateral"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/p2p"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/auth"
	"apocryph/provider/ingress"
	"apocryph/provider/vault"
)

// Config is a provider's configuration. The zero value of a field is its
// default where one is named.
type Config struct {
	// DataDir holds all state.
	DataDir string
	// Storage is how the plaintext of pods is kept: "fscrypt" (also when empty),
	// "tmpfs" or "none". StorageSize is what it may hold, such as "20Gi"; empty
	// leaves it to the machine.
	Storage, StorageSize string
	// TEE is "auto", "sev-snp", "tdx", "tpm2" or "soft".
	TEE string
	// TPM is a device path, "unix:SOCKET", [NoTPM] or [AutoTPM], also when empty.
	// Beside a device of reports it makes evidence composite: one that is named
	// always, the machine's own in a confidential machine that has it.
	TPM string
	// EKChainFile has the certificates between a TPM's endorsement key and its
	// vendor's root (PEM), for a TPM that stores only the leaf; may be empty.
	EKChainFile string
	// TPMBootLog is the file of the event log of the TPM's machine; empty means
	// the kernel's for a device, and none for an emulator.
	TPMBootLog string
	// AMDKDS and IntelPCS are the base URLs of the vendors' services, or "off".
	AMDKDS, IntelPCS string
	// SEVVMPL is the privilege level that SEV-SNP reports are made for, 0 to 3.
	SEVVMPL uint
	// Listen, Bootstrap and Relays are multiaddrs; DHTPrefix as in p2p.Config.
	Listen, Bootstrap, Relays []string
	DHTPrefix                 string
	// NoMDNS keeps the provider out of the local network's discovery.
	NoMDNS bool
	// Ingress is an address such as ":8081", Domain the parent of generated hosts.
	Ingress, Domain string
	// IngressTLS is the address of HTTPS; empty means none.
	IngressTLS string
	// ACME is who signs the certificates of HTTPS.
	ACME ACME
	// Ports is the range of mapped ports, "FIRST-LAST".
	Ports string
	// CustomHosts are patterns of host names that publishers may bring.
	CustomHosts []string
	// API are addresses, APISockets unix sockets.
	API, APISockets []string
	// APIAuth says who may call the API.
	APIAuth APIAuth
	// APIOrigins are web pages whose scripts may call it.
	APIOrigins []string
	// ImageRegistries are registries, as HOST or HOST:PORT, that tenants may name
	// although they are not public.
	ImageRegistries []string
	// Source is how builds from source are done.
	Source SourceConfig
	Region string
	// PolicyFile is what this provider demands of its own evidence, PricesFile
	// its price list; both may be empty.
	PolicyFile, PricesFile string
	// PublisherPolicyFile is what publishers' machines must prove before this
	// provider takes an app from them; may be empty.
	PublisherPolicyFile string
	Version             string
	// Binary is the program whose digest the software device reports; empty
	// means the running one.
	Binary string
	// Runtime replaces the embedded containerd, Machine the interfaces of this
	// machine's TEE, and Now the clock, in tests.
	Runtime *Runtime
	Machine *Machine
	Now     func() time.Time
	Logger  *slog.Logger
}

// APIAuth is how callers of the API are told apart, see package auth. Callers of
// the sockets are known by the kernel, and tokens of its own by the store.
type APIAuth struct {
	// Mode is "tokens" (also when empty) or "none": everybody who reaches a
	// loopback address is the operator.
	Mode string
	// JWKSURL, Issuer and Audience are of an issuer of JSON web tokens.
	JWKSURL, Issuer, Audience string
	// HS256SecretFile has a secret that tokens may be signed with.
	HS256SecretFile string
	// SupabaseURL and SupabaseKey are of a Supabase project.
	SupabaseURL, SupabaseKey string
}

// Runtime is what runs pods, seen from each side that needs it.
type Runtime struct {
	provider.Runtime
	provider.Instances
	provider.Logs
	provider.Volumes
}

// settings is a Config that was read and checked.
type settings struct {
	Config
	ports  [2]uint16
	policy *policy.Policy
	// publisherPolicy is nil where nothing is demanded of publishers.
	publisherPolicy *policy.Policy
	prices          offer.PriceList
	// storageSize is in bytes, 0 for the default.
	storageSize int64
	// ekChain is DER, the leaf's issuer first.
	ekChain [][]byte
	// apiAuth has all but the store.
	apiAuth auth.Config
	// acmeRoots is nil for the system's.
	acmeRoots *x509.CertPool
}

// runDir is where what may vanish at a reboot lives; socket paths are short.
const runDir = "/run/apocryph"

func (c Config) check() (settings, error) {
	s := settings{Config: c}
	var faults []status.Fault
	if c.DataDir == "" {
		faults = append(faults, status.Fault{Field: "data-dir", Got: "nothing", Want: "a directory"})
	}
	if abs, err := filepath.Abs(c.DataDir); err == nil {
		s.DataDir = abs
	}
	first, last, ok := parseRange(c.Ports)
	if !ok {
		faults = append(faults, status.Fault{Field: "ports", Got: fmt.Sprintf("%q", c.Ports), Want: "FIRST-LAST, such as 30000-32767"})
		first, last = 1, 1 // told once
	}
	s.ports = [2]uint16{first, last}
	for i, a := range c.API {
		if _, port, err := net.SplitHostPort(a); err != nil || !isPort(port) {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("api[%d]", i), Got: fmt.Sprintf("%q", a), Want: "ADDRESS:PORT"})
		}
	}
	switch c.TEE {
	case "auto", "soft", "tpm2", "sev-snp", "tdx":
	default:
		faults = append(faults, status.Fault{Field: "tee", Got: fmt.Sprintf("%q", c.TEE), Want: "auto, sev-snp, tdx, tpm2 or soft"})
	}
	if c.TEE == string(attest.TPM2) && c.TPM == NoTPM {
		faults = append(faults, status.Fault{Field: "tpm", Got: NoTPM, Want: "a TPM, for --tee tpm2"})
	}
	if s.Storage == "" {
		s.Storage = string(vault.FSCrypt)
	}
	if c.StorageSize != "" {
		// The vault knows what it can be.
		if n, err := manifest.ParseQuantity(c.StorageSize, 1); err != nil || n == 0 || n > math.MaxInt64 {
			faults = append(faults, status.Fault{Field: "storage-size", Got: fmt.Sprintf("%q", c.StorageSize), Want: "bytes, such as 20Gi"})
		} else {
			s.storageSize = int64(n)
		}
	}
	switch vault.Kind(s.Storage) {
	case vault.FSCrypt, vault.TmpFS:
	case vault.None:
		if s.storageSize != 0 {
			faults = append(faults, status.Fault{Field: "storage-size", Got: fmt.Sprintf("%q", c.StorageSize), Want: "nothing, for plain directories have no limit"})
		}
	default:
		faults = append(faults, status.Fault{Field: "storage", Got: fmt.Sprintf("%q", c.Storage), Want: "fscrypt, tmpfs or none"})
	}
	for _, x := range [][2]string{{"amd-kds", c.AMDKDS}, {"intel-pcs", c.IntelPCS}} {
		if collateral.CheckURL(x[1]) != nil {
			faults = append(faults, status.Fault{Field: x[0], Got: fmt.Sprintf("%q", x[1]), Want: "an http or https URL without query, or off"})
		}
	}
	if c.SEVVMPL > 3 {
		faults = append(faults, status.Fault{Field: "sev-vmpl", Got: fmt.Sprint(c.SEVVMPL), Want: "0 to 3"})
	}
	faults = append(faults, c.ACME.faults(c.IngressTLS)...)
	faults = append(faults, c.APIAuth.faults(c.API)...)
	faults = append(faults, c.Source.faults()...)
	// The parts look at what is theirs before anything is opened.
	faults = append(faults, faultsOf(s.network(nil).Check())...)
	if _, err := ingress.New(s.ingress()); err != nil {
		faults = append(faults, faultsOf(err)...)
	}
	if len(faults) > 0 {
		return s, status.Invalid("provider.config", "the provider's configuration", faults)
	}
	if c.PolicyFile != "" {
		b, err := os.ReadFile(c.PolicyFile)
		if err != nil {
			return s, status.Wrap(err, status.InvalidArgument, "provider.policy", "reading the policy file")
		}
		if s.policy, err = policy.Parse(b); err != nil {
			return s, fmt.Errorf("%s: %w", c.PolicyFile, err)
		}
	}
	if c.PublisherPolicyFile != "" {
		b, err := os.ReadFile(c.PublisherPolicyFile)
		if err != nil {
			return s, status.Wrap(err, status.InvalidArgument, "provider.publisher_policy", "reading the policy file for publishers")
		}
		if s.publisherPolicy, err = policy.Parse(b); err != nil {
			return s, fmt.Errorf("%s: %w", c.PublisherPolicyFile, err)
		}
	}
	if c.PricesFile != "" {
		b, err := os.ReadFile(c.PricesFile)
		if err != nil {
			return s, status.Wrap(err, status.InvalidArgument, "provider.prices", "reading the price file")
		}
		if s.prices, err = offer.ParsePriceList(b); err != nil {
			return s, fmt.Errorf("%s: %w", c.PricesFile, err)
		}
	}
	if c.EKChainFile != "" {
		b, err := os.ReadFile(c.EKChainFile)
		if err != nil {
			return s, status.Wrap(err, status.InvalidArgument, "provider.ek_chain", "reading the certificates of the endorsement key")
		}
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			s.ekChain = append(s.ekChain, block.Bytes)
		}
		if len(s.ekChain) == 0 {
			return s, status.New(status.InvalidArgument, "provider.ek_chain", "%s has no PEM certificate", c.EKChainFile)
		}
	}
	var err error
	if s.apiAuth, err = c.APIAuth.config(); err != nil {
		return s, err
	}
	if _, err := auth.New(s.apiAuth); err != nil {
		return s, err
	}
	if _, err := s.catalog(nil); err != nil {
		return s, err
	}
	if s.acmeRoots, err = c.ACME.roots(); err != nil {
		return s, err
	}
	if len(s.APISockets) == 0 {
		s.APISockets = []string{filepath.Join(s.DataDir, "api.sock")}
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// parseRange reads "FIRST-LAST".
func parseRange(s string) (first, last uint16, ok bool) {
	a, b, ok := strings.Cut(s, "-")
	low, errLow := strconv.ParseUint(a, 10, 16)
	high, errHigh := strconv.ParseUint(b, 10, 16)
	return uint16(low), uint16(high), ok && errLow == nil && errHigh == nil && 0 < low && low <= high
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func faultsOf(err error) []status.Fault {
	var e *status.Error
	if errors.As(err, &e) {
		return e.Faults
	}
	return nil
}

func (s settings) network(identity crypto.PrivKey) p2p.Config {
	return p2p.Config{
		Identity: identity, Listen: s.Listen, Bootstrap: s.Bootstrap, DHTPrefix: s.DHTPrefix, Relays: s.Relays,
		Server: true, MDNS: !s.NoMDNS, UserAgent: "apocryph-provider/" + s.Version, Logger: s.Logger,
	}
}

func (s settings) ingress() ingress.Config {
	return ingress.Config{
		Listen: s.Ingress, ListenTLS: s.IngressTLS, Domain: s.Domain, Ports: s.ports, CustomHosts: s.CustomHosts, Log: s.Logger,
	}
}

// runtimeDir is this data directory's place below runDir.
func runtimeDir(identity string) string {
	return filepath.Join(runDir, strings.ToLower(identity)[:8])
}
