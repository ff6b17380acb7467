package discovery

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// MaxValidity is the longest time that an advert may be valid for: a provider
// that is gone stops being shown within it.
const MaxValidity = 24 * time.Hour

// DefaultValidity is what an [Advertiser] gives its adverts.
const DefaultValidity = 30 * time.Minute

// Advert is what a provider says of itself.
type Advert struct {
	Peer peer.ID
	// Addrs are where it can be reached, without /p2p.
	Addrs []multiaddr.Multiaddr
	// Seq grows with every advert of the peer.
	Seq uint64
	// NotAfter has milliseconds.
	NotAfter time.Time
	// TEE is "sev-snp", "tdx", "tpm2" or "soft".
	TEE string
	// Region is the operator's own word, such as "eu-west"; may be empty.
	Region         string
	RuntimeClasses []string
	Resources      Resources
	// Asset is a CAIP-19 asset or an ISO 4217 code; empty for a free provider.
	Asset  string
	Prices []Price
	// Software is name and version, such as "apocryph/0.1.0".
	Software string
	// Platform is what its containers run on, such as "linux/amd64".
	Platform string
}

// Resources are what is free, rounded down so that they tell little of other tenants.
type Resources struct {
	CPUMillis, MemoryBytes, DiskBytes uint64
	GPUs                              uint32
}

// Price is what one resource costs.
type Price struct {
	Resource string
	// Unit is what one price buys a second of, such as "core" or "GiB".
	Unit string
	// PerUnitSecond is a decimal string.
	PerUnitSecond string
}

// Info is how the provider is reached.
func (a Advert) Info() peer.AddrInfo { return peer.AddrInfo{ID: a.Peer, Addrs: a.Addrs} }
