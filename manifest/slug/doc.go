// Package slug reads and writes the names of sources: gh:owner/repo#ref and the like.
package slug
