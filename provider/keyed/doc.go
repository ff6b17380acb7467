// Package keyed has locks by name, that are waited for at most as long as a
// context lasts: one pod, one layer, one namespace is changed by one at a time.
package keyed
