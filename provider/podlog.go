package provider

import (
	"context"

	"apocryph/attest/podlog"
)

// Register is where a pod log is extended: a register of a TPM or of TDX. After
// an error of Extend nobody knows whether it was done, and Values tells.
type Register interface {
	// Name is as claims write it: "pcr14" or "rtmr3".
	Name() string
	// Extend extends every bank that the register has, all of them or none.
	Extend(ctx context.Context, sha256 [32]byte, sha384 [48]byte) error
	// Values returns the register in each bank, nil for one that it does not have.
	Values(ctx context.Context) (sha256, sha384 []byte, err error)
}

// PodLog is the measured log of this boot; see [podlog].
type PodLog interface {
	// Append logs an event, about a pod of this id or, for "", about the provider.
	// When it returns nil the event is durable and in the register. After an error
	// it may be in the log all the same, and what it announces must not happen.
	Append(ctx context.Context, pod PodID, e podlog.Event) error
	// Hold returns the log as it stands. It does not move until it is released,
	// so that evidence made meanwhile shows this state and no other.
	Hold(ctx context.Context) (HeldLog, error)
	// Openings returns those of a pod's events, or of the provider's for "", in
	// order.
	Openings(ctx context.Context, pod PodID) ([]LogOpening, error)
}

// HeldLog is a log that does not move.
type HeldLog struct {
	// Register is the register's name, "none" where there is none.
	Register string
	Head     podlog.Head
	// Records are all of them. They are shared: nobody changes them, and they may
	// be read after Release.
	Records []podlog.Record
	// Release lets the log go on; it may be called again.
	Release func()
}

// LogOpening is the opening of one record.
type LogOpening struct {
	Record  podlog.Record
	Opening podlog.Opening
}

// NoRegister is the name of the register of a machine that has none.
const NoRegister = podlog.RegisterNone
