// Package publisher drives one deployment end to end, and decides alone whom
// to trust with it.
//
// The course of [Service.Deploy]: it resolves and encrypts the images while it
// looks for a provider, since neither needs the other. Candidates are the one
// named, else the app's current one, else at most 32 found by their signed
// adverts, cheapest first. Each is attested against the policy, its offer bound
// into the evidence; who is denied, too dear or too small is out. The sealed
// images are published on IPFS and pinned into the canonical manifest. For the
// provider whose turn it is, the resources are reserved, the images' roots are
// granted, and the order (manifest, secrets, image keys, policy) is sealed to
// the attested key and sent. It ends when every endpoint answers from outside.
//
// What is sent when. Until the verdict a provider sees a peer id, a nonce, and
// the needs: amounts of resources and the names of app, containers and volumes.
// Before the order it may read ciphertext and image configurations. The order
// opens with the attested key alone, and an answer without the confirmation
// that it was, or about another manifest, is refused. Where sealing took longer
// than the claims last, the provider is attested again.
//
// What is remembered before it is sent. [Apps] has the app, as [Pending] with
// its request id, before the order leaves, so that a publisher that dies then
// can still name its provider; and with revision and endpoints before the app
// is waited for. A refusal puts back what was there, or nothing.
//
// The next provider is tried after resource_exhausted and unavailable alone.
// What is wrong with the app would be wrong there too, and untrusted is final.
// A connection lost during a provision says nothing: the pod may be coming up.
// So the provider is asked for the pod's status, for ten seconds. Where it has
// no such pod, a failed one, or still the revision that was to be replaced, the
// order came to nothing. Where it does not say, the deploy ends with the error
// and no other provider gets the app, for it must not run twice; the next
// deploy asks for the revision and updates it.
//
// [Service.Look] and [Service.QuoteOnly] trust whatever roots a provider shows:
// for first policies and comparing prices. They release nothing.
//
// The ports are in publisher.go and ports.go: [Resolver], [Sealer], [Content],
// [Finder], [Connection], [Providers], [OrderCodec], [Pods], [Apps].
package publisher
