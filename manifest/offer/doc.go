// Package offer is what a publisher asks of a provider, what the provider
// offers for it, and at which price.
//
// [Needs] are the resources that a manifest asks for, without what runs on
// them: [NeedsOf] takes them out of a manifest. A provider compares their
// [Totals] with what it has and answers with an [Offer], resource by resource:
// requested, available, offered or not and why. What it does not know is
// unavailable, and never ignored.
//
// An offer ends, names both peers and the digest of the request, and is signed
// with Ed25519 (RFC 8032) by the receipt key, which is in the provider's
// attested claims. So it is the attested software that speaks, for this
// request only, and a relay cannot make a cheap offer in another's name. [Open]
// checks the signature before it looks at anything else; [Offer.Matches] checks
// for whom and for what it was made. [Signed.Digest] is bound into evidence.
//
// Prices are exact. The operator writes a [PriceList] in decimal numbers per
// second, hour or month; they are kept as fractions and rounded once, half up,
// where a decimal string leaves the package. Nothing here is a floating-point
// number. Assets, chains and accounts are named as CAIP-2, CAIP-10 and CAIP-19
// say, or by an ISO 4217 currency code.
//
// [CheckPayment] looks at the form of a payment only. Channels that really pay
// do not exist yet and are answered with unimplemented.
package offer
