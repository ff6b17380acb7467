// Command bench measures what the design promises, each figure beside a
// yardstick that runs in the same minutes on the same machine, and prints one
// table. It judges nothing: it is no test, and its figures are worth as much
// as the machine was idle.
//
// Ours and the yardstick take turns, so that a load which comes and goes meets
// both, and each side is told by its median and its range. The ratio is that
// of the medians. Figures of different runs, or of different machines, say
// little beside each other; ratios do.
//
// Every transfer is one between two processes. What is ours is served by the
// real publisher program; what receives it is this program in the role of the
// provider's content store, or the provider itself. Links with a delay are two
// network namespaces joined by a line in user space (see [link]), so that both
// sides' TCP meets a real round trip.
package main
