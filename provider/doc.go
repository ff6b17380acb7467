// Package provider is the pod state machine: what becomes of a sealed order
// from its arrival until nothing of the pod is left.
//
// A pod is one publisher's app of one name. Its [Record] is the desired state,
// durable, with a revision that grows with each accepted order; instances, one
// a replica, are what the [Runtime] has. Each pod has a driver, a goroutine that
// reconciles the second with the first: it looks at what is there and does what
// lacks. It alone touches the runtime for the current revision. Orders and
// deletions change the record, one at a time, and interrupt the driver.
//
// The states of [State.May]: accepted, fetching, starting, running; failed;
// deleting. A pod that passed its checks once stays running: containers that
// exit are started again with exponential back-off, a failing check takes a
// replica out of the routes. One that never passed becomes failed: its
// instances, keys and secrets go, and its record tells why for a day.
//
// What is persisted before what. A transition is in the [Store] before anybody
// sees it. A create is stored before it is acknowledged and before anything of
// it is made. An update is prepared first (fetched, unpacked, its keys proven),
// started beside the old revision, and must pass its checks; then routes lead to
// it, one write makes it current and lists the old instances as obsolete, and
// those go when what leads to them has ended, or after half a minute. On failure
// the old revision has served all the time. Where both would write to one
// persistent volume, or the machine has no room for both, the write comes before
// the start, and the old one ends first. Of a
// deleted pod the record goes last. So a crash at any instruction leaves a
// record that says how to go on, or instances and images that no record knows,
// which [Service.Run] sweeps before it serves. A restart takes names, ports and
// capacity again, leaves alone what runs, and starts or remakes the rest from
// the ciphertext. The release and receipt keys are new then, and attestations
// that were issued are forgotten.
//
// What is logged before what. Accepted orders, released keys, what the runtime
// made and each start go through the [PodLog] before they happen, or do not
// happen; ends after. An instance that the log of this boot does not know, after
// a reboot say, is made again and not left running. Evidence names the log's
// head, which stands still until the quote is made.
//
// Who may call what. [Service.Attest] and [Service.Quote] are for everybody.
// [Service.Provision] wants an attestation issued to that very peer, bound to
// the first request id that names it, and an order sealed to the attested key;
// the same request again is answered and not repeated. Status, logs and
// deletion see the caller's own pods, [Service.All] is for the operator.
//
// The ports it needs are in ports.go and provider.go: [Runtime], [Instances],
// [Volumes], [Logs]; [Images]; [Store]; [Capacity], [Charges]; [Names],
// [Routes], [Drains]; [Device], [PodLog]. A port that cannot be asked is no news about a pod.
package provider
