// Package discovery lets publishers find providers without a registry.
//
// A provider describes itself in an [Advert], a short-lived statement that it
// signs with its peer key inside a libp2p signed envelope ([Seal]). It answers
// anyone who asks for it ([Serve]) and announces in the DHT, under a handful
// of keys, that it can be asked ([Advertiser]): one key for every provider, and
// one for each TEE type, region and runtime class, so that no key carries the
// whole network's load.
//
// The DHT is a hint and nothing more. Its records are unsigned, anyone can add
// to them, and a determined attacker can hide some. So a [Finder] takes
// candidates from wherever it gets them (the DHT, multicast DNS, the adverts it
// has seen before, peers that the user names), connects to each, and believes
// only the advert that the peer itself hands over and has signed ([Open]). The
// worst that a false candidate costs is one connection attempt.
//
// Adverts that were seen are kept in a [Cache], so that a publisher whose
// bootstrap peers are all dead still finds the providers that it knew. From an
// expired advert only the addresses are used.
//
// An advert says what a provider offers, not that it can be trusted: that is
// for attestation to show.
package discovery
