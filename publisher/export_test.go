package publisher

// ReadSecrets reads the files of a manifest's secret volumes.
var ReadSecrets = readSecrets

// Answers waits until one endpoint answers.
var Answers = answers

// FollowCounters is followCounters.
var FollowCounters = (*Service).followCounters
