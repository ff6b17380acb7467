// Package git finds a commit in a repository that a stranger runs, and brings
// its files.
package git
