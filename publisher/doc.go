// Package publisher drives one deployment end to end.
package publisher
