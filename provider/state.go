package provider

import "slices"

// State is where a pod is in its life.
type State string

// The states of a pod. A pod that was deleted has none: its record is gone.
const (
	// StateAccepted is a pod whose request is stored durably: it goes on from
	// here whatever happens to its publisher or to this process.
	StateAccepted State = "accepted"
	StateFetching State = "fetching"
	StateStarting State = "starting"
	// StateRunning is a pod that passed its health checks once. A container
	// that crashes later is started again and the pod stays in this state.
	StateRunning State = "running"
	// StateFailed is a pod that did not come up. Nothing of it but its record is
	// left; a create of the same name replaces it.
	StateFailed   State = "failed"
	StateDeleting State = "deleting"
	// StateWaitingForKeys is a pod that does not run and whose secrets are sealed
	// with the data key of another measured state. It is no stored state: the
	// record stays as it was, for that state to come back. The next order of its
	// publisher brings the pod up again, with its names and volumes.
	StateWaitingForKeys State = "waiting-for-keys"
)

// transitions lists where each state may go. An update starts over at accepted.
var transitions = map[State][]State{
	"": {StateAccepted},
	// An update was prepared before it was accepted and has nothing to fetch.
	StateAccepted: {StateFetching, StateStarting, StateFailed, StateDeleting},
	StateFetching: {StateAccepted, StateStarting, StateFailed, StateDeleting},
	StateStarting: {StateAccepted, StateFetching, StateRunning, StateFailed, StateDeleting},
	// A pod of another data key that stops running waits for it.
	StateRunning:        {StateAccepted, StateFetching, StateStarting, StateFailed, StateDeleting},
	StateFailed:         {StateAccepted, StateDeleting},
	StateWaitingForKeys: {StateAccepted, StateDeleting},
	StateDeleting:       {},
}

// May reports whether a pod in state s may go to next. Staying is always allowed.
func (s State) May(next State) bool {
	return s == next || slices.Contains(transitions[s], next)
}
