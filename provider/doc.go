// Package provider is the pod state machine.
package provider
