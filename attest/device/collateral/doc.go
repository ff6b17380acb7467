// Package collateral fetches what vendors publish about the hardware below a
// provider, and completes evidence with it: in the terms of RFC 9334 it conveys
// endorsements.
//
// A verifier of this project asks nobody at the time of its verdict: a vendor
// that does not answer must not make a machine look bad, and should not learn
// who trusts whom. So the attester brings everything along. For SEV-SNP that is
// the certificate of the chip's key at its TCB version, where the host did not
// give it, and AMD's revocation list, both from AMD's key distribution service
// (KDS, 57230); a certificate of a loaded key (VLEK) is the cloud's to give and
// cannot be fetched. For TDX it is the TCB info of this kind of platform, the
// identity of the quoting enclave and two revocation lists, from Intel's
// provisioning certification service (PCS, API version 4) or a cache of it
// (PCCS) in the operator's network.
//
// A [Source] keeps what it fetched in files, so that a provider starts while
// the service is down, and fetches again long before a piece expires: one in
// use is renewed in the background by [Source.Run], and stays in use for as long
// as it is valid. Nothing is verified here but the shape, since the evidence is
// verified by who receives it: a service that lies makes evidence that is
// refused, not evidence that is believed. What it may cost is bounded: sizes,
// times, and how often one that fails is asked again.
package collateral
