// Package soft is an attestation device in software, for development. NOT SECURE.
//
// It has the shape of an AMD SEV-SNP platform: a development CA with a root
// (ARK) and a signing certificate (ASK), a chip key (VCEK) that is certified
// with the extensions of AMD's Key Distribution Service (57230), and reports in
// the firmware's layout (56860, table 23). So its evidence takes the same path
// through verification as a real machine's and fails in the same places; only
// the root differs, and a verifier has to name that root by its fingerprint.
//
// It proves nothing. Whoever can read the data directory can sign anything, and
// the launch measurement is the SHA-384 of a file that the process itself says
// it runs.
//
// [Open] makes the device's identity once and keeps it in one file; the CA's
// keys are forgotten as soon as they have signed. [Device.DataKey] is a random
// key in a file next to it.
package soft
