// Package e2e proves the whole: the law of the tree, and deploys with real nodes.
//
// The repository's invariants are ordinary tests: [TestLayering] holds each
// package to the layer that the README's map gives it, [TestPackageDocs] wants
// every package explained, and others keep generated code current and the
// module free of replacements. The scenarios run the programs as their users
// do: real processes, containers, software TPMs and networks.
package e2e
