// Package detect decides from a tree of files how to build and run it.
package detect
