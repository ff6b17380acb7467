// Package direct is what people send to deploy an app over HTTP: the manifest of
// POST /deploy and the body of POST /api/v1/apps/{id}/deployments. Both are JSON
// about one container, and both become one [Manifest].
//
// A field that means the same as in a manifest file (port, ports, host, env,
// command, args, workingDir, resources, health, replicas, volumes, access,
// runtimeClass) is read by package manifest itself, so that the two can never
// drift: the values are written out as a document with one container, one value
// a line, which [manifest.ParseFile] reads. Its faults come back with lines, and
// each line leads to the JSON pointer of the value that was sent. All faults of
// both readers are in the one error. A member that is null counts as not there.
//
// What is different from a file, because the caller is not a publisher with files
// of its own beside the manifest:
//
//   - image is a registry reference or ipfs:CID. Forms that name a file are
//     refused: the file would be the provider's.
//   - Secret volumes are refused for the same reason. Values go into env.
//   - A port that names no protocol is http where no other port is: a bare 8080,
//     the first of them, in a list without any http port. In a file it is tcp. The
//     callers of this API ask for apps that are reached by a host name.
//   - The old form's listen is one more port, http unless it says otherwise;
//     health_path is short for health with http; mode dev has no effect.
//   - commit_sha is what a caller claims. Attested mode cannot be asked for: proof
//     is not something that a caller can claim.
//
// Ports of each runtime. Static files are served on the port asked for, on 8080
// where there is none; an http port is added to a list without one. A binary that
// asks for no port gets none, and counts as up as long as it runs. One that asks
// finds the number of its first http port, or else of its first port, in PORT,
// unless its env has a PORT. In the body of a deployment, networking without a
// port, or with a null one, assigns 8080 to a binary; no networking at all is no
// port. An image listens where it listens: what is not asked for is not reached.
//
// Nothing here reads a file, resolves a name or knows whether an artifact exists.
package direct
