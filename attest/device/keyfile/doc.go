// Package keyfile keeps a device's secrets in files that are made once.
//
// A key that is made anew because a crash lost it would lock away whatever the
// first one encrypted. So a file here appears whole or not at all, is on disk
// before its content is used, and is never replaced: the complete bytes go to a
// temporary file, which is synced and then linked to the final name, and link
// fails where the name exists. Of two processes that race both use the first
// one's file. Files that others than their owner can read are refused.
package keyfile
