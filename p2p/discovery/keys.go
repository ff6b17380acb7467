package discovery

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// keyPrefix is hashed before a key's name. Like the adverts, it changes with
// the protocol's version only.
const keyPrefix = "apocryph/discovery/0.0.1/"

// key is the CID (version 1, raw, SHA-256) that provider records are kept under.
func key(name string) cid.Cid {
	h, err := multihash.Sum([]byte(keyPrefix+name), multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // only for a hash function that is not built in
	}
	return cid.NewCidV1(cid.Raw, h)
}

// keys are all those that a provider is found under.
func (a Advert) keys() []cid.Cid {
	ks := []cid.Cid{key("all"), key("tee/" + a.TEE)}
	if a.Region != "" {
		ks = append(ks, key("region/"+a.Region))
	}
	for _, c := range a.RuntimeClasses {
		ks = append(ks, key("runtime/"+c))
	}
	return ks
}
