// Package commit reads git's commit objects and checks who signed them.
package commit
