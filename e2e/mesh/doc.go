// Package mesh runs real providers and real publishers as peers of one network
// in one process, and lets them meet strangers who lie, stall and vanish.
//
// Everything that speaks is the product's own: [providerd] and [publisherd]
// assemble the nodes, so that libp2p's handshakes and multiplexing, the framing
// of the protocols, HPKE, attestation, content and its access control are those
// of the programs. Only what runs containers is replaced, by a runtime in
// memory: a test that wants to see ten pods fail needs no kernel for it. The
// scenarios of apocryph/e2e have real containers and processes, and are slow
// and few for that reason; here a fault can be put at any step of any protocol.
//
// The third party of most tests is mallory: a peer with a provider's protocols
// whose every answer a test can replace, down to the bytes of a frame. It holds
// a device that the policy accepts where the question is what a provider may do
// wrong after its evidence was good, and none where the question is what a man
// in the middle may do with the evidence of others (a relay attack).
//
// There are no sleeps. A step is waited for by its event; a deadline passes
// when the test says so. What only time can bring is asked of a clock that the
// test moves.
//
// [providerd]: apocryph/provider/providerd
// [publisherd]: apocryph/publisher/publisherd
package mesh
