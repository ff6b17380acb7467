package publisher

import (
	"context"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/manifest"
	"apocryph/manifest/offer"
)

// ProviderID is the text form of a provider's libp2p peer id.
type ProviderID string

// Target is a provider and where it may be reached. Addrs are multiaddrs
// without /p2p; without any, the provider is looked up.
type Target struct {
	ID    ProviderID
	Addrs []string
}

// Candidate is a provider that discovery found. Its advert is signed, which
// says who made it and nothing more.
type Candidate struct {
	Target
	TEE, Region string
	Platform    string
	// Asset and Prices are those of the advert; both empty means free.
	Asset     string
	Prices    []offer.Price
	CPUMillis uint64
	Memory    uint64
	Disk      uint64
	GPUs      uint32
	Software  string
	NotAfter  time.Time
}

// Query narrows a search for providers. Empty fields match all.
type Query struct {
	TEE, Region, RuntimeClass string
}

// Finder finds providers until ctx ends or it knows no more, and calls found
// for each, one at a time.
type Finder interface {
	Find(ctx context.Context, q Query, found func(Candidate)) error
}

// Connection reaches a provider by its id.
type Connection interface {
	// Connect finds an address and opens a connection, which proves who is
	// there. It returns the binary peer id.
	Connect(ctx context.Context, t Target) ([]byte, error)
}

// AttestRequest asks a provider for evidence.
type AttestRequest struct {
	Challenge attest.Challenge
	Accept    []attest.Type
	// Needs asks for an offer beside the evidence.
	Needs *offer.Needs
	// PodID is a pod of the caller's that the claims are to speak of, Log asks for
	// the whole pod log.
	PodID string
	Log   bool
	// Tree asks how the transparency log has grown.
	Tree *TreeRequest
	// Images are ids of images of which statements are wanted.
	Images []string
}

// Attestation is what a provider answered; nothing of it is verified yet.
type Attestation struct {
	Claims   []byte
	Evidence []attest.Evidence
	Offer    *offer.Signed
	// Log is what was shown of the pod log.
	Log podlog.Shown
	// Tree is nil for a provider without a log.
	Tree *TreeAnswer
	// Built are envelopes of package apocryph/attest/provenance.
	Built [][]byte
}

// ProvisionRequest is what travels in the clear.
type ProvisionRequest struct {
	RequestID       [16]byte
	ClaimsDigest    [32]byte
	Operation       Operation
	Enc, Ciphertext []byte
}

// Operation is what a provision request wants. The numbers are those of the wire.
type Operation uint8

// The operations.
const (
	Create Operation = 1
	Update Operation = 2
	DryRun Operation = 3
)

// Order is what is sealed to the attested key.
type Order struct {
	Manifest               []byte
	Keys                   map[string][]byte
	Secrets                map[string]map[string][]byte
	Policy                 []byte
	OfferID, ReservationID string
	Payment                offer.Payment
	ExpectedRevision       uint64
	PublisherPeer          []byte
}

// Provisioned is what a provider answered to a provision.
type Provisioned struct {
	PodID          string
	Revision       uint64
	Endpoints      []Endpoint
	Confirm        []byte
	ManifestDigest []byte
	// Receipt is a DSSE envelope of package apocryph/attest/receipt, not verified yet.
	Receipt []byte
	// Release is nil for a provider without a log.
	Release *ReleaseProof
	// Dry is set for a dry run alone.
	Dry *DryRunAnswer
}

// Endpoint is how an app is reached.
type Endpoint struct {
	Container string
	Port      uint16
	Protocol  manifest.Protocol
	URL, Dial string
}

// Providers speaks a provider's protocols.
type Providers interface {
	// Attest calls activate when the provider shows a TPM.
	Attest(ctx context.Context, to ProviderID, req AttestRequest, activate func(attest.TPMIdentity) (attest.Activation, error)) (*Attestation, error)
	Quote(ctx context.Context, to ProviderID, needs offer.Needs) (offer.Signed, error)
	Provision(ctx context.Context, to ProviderID, req ProvisionRequest, report func(Progress)) (Provisioned, error)
}

// OrderCodec writes an order, or what a build needs, as the bytes that are sealed.
type OrderCodec interface {
	EncodeOrder(Order) ([]byte, error)
	EncodeBuildSecret(BuildSecret) ([]byte, error)
}

// Pods looks at and changes the pods that this publisher has at a provider.
type Pods interface {
	// PodStatus returns the pod of a name, or all of them for an empty one.
	PodStatus(ctx context.Context, at ProviderID, name string) ([]PodStatus, error)
	DeletePod(ctx context.Context, at ProviderID, name string, keepVolumes bool) error
	FollowLogs(ctx context.Context, at ProviderID, q LogQuery, fn func(LogLine) error) error
}

// PodStatus is what a provider says of a pod.
type PodStatus struct {
	PodID, Name    string
	Revision       uint64
	State, Reason  string
	ManifestDigest []byte
	Endpoints      []Endpoint
	Containers     []ContainerStatus
	Created        time.Time
	Updated        time.Time
	// Receipt is that of [Provisioned], by today's key; empty while it does not run.
	Receipt []byte
}

// ContainerStatus is one container of one replica.
type ContainerStatus struct {
	Name         string
	Replica      uint32
	State        string
	Restarts     uint32
	ExitCode     int32
	CID, ImageID string
	Reason       string
}

// LogQuery selects log lines.
type LogQuery struct {
	Name, Container string
	Follow          bool
	Since           time.Time
	Tail            uint32
}

// LogLine is one line that a container wrote.
type LogLine struct {
	Container string
	Replica   uint32
	Time      time.Time
	Stream    string
	Text      []byte
}

// Progress is how far a provider is with a provision.
type Progress struct {
	// Stage is "accepted", "fetching", "unpacking", "starting" or "healthy".
	Stage             string
	Done, Total, Rate uint64
	Source            string
}

// Content puts sealed images on IPFS and decides who may read them.
type Content interface {
	// Publish makes a sealed image's directory and returns its root CID. It is
	// readable by nobody until it is granted. report counts the bytes that are
	// hashed for it.
	Publish(ctx context.Context, img *manifest.Sealed, report func(done, total int64)) (string, error)
	Grant(ctx context.Context, cid string, to ProviderID) error
}

// Machines remembers which attestation keys were proven to sit beside which
// endorsement keys.
type Machines interface {
	// Activated reports whether Remember was called with both, lately.
	Activated(ek [32]byte, akName []byte) bool
	Remember(ek [32]byte, akName []byte) error
}

// Apps remembers what was deployed where.
type Apps interface {
	Save(ctx context.Context, a App) error
	// Get returns the app of a name; provider may be empty when only one has it.
	Get(ctx context.Context, name string, provider ProviderID) (App, error)
	// Delete forgets an app.
	Delete(ctx context.Context, name string, provider ProviderID) error
}

// App is a deployed app.
type App struct {
	Name           string
	Provider       Target
	PodID          string
	Revision       uint64
	ManifestDigest string
	Images         []AppImage
	Endpoints      []Endpoint
	URL            string
	// Verdict is the verdict's one line at the last deploy.
	Verdict string
	// Receipt is the signed statement about the pod as it was deployed, verified
	// with ReceiptKey, which that deploy's evidence binds (Ed25519, 32 bytes).
	Receipt    []byte
	ReceiptKey []byte
	// Past are earlier revisions that were deployed from here, oldest first.
	Past []AppRevision
	// Pending is a provision that was sent and not yet answered.
	Pending          *Pending
	Created, Updated time.Time
}

// AppImage is one container's image as deployed.
type AppImage struct {
	Container, CID, ImageID, EncryptedDigest, KeyID string
	// Repository, Commit and Statement are of an image that the provider built: which
	// commit, and the digest of what its attested key said of it, as verified.
	Repository, Commit, Tree, Statement string
}

// Pending is a provision whose answer never came.
type Pending struct {
	RequestID string
	Sent      time.Time
}
