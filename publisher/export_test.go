package publisher

// Answers waits until one endpoint answers.
var Answers = answers

// FollowCounters is followCounters.
var FollowCounters = (*Service).followCounters
