package containerd

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// The ranges of host user ids that pods are given, one range a pod. systemd's
// UIDS-GIDS.md lists 1879048192 to 2147352575 as used by nobody; sub-ids of
// login users and of systemd-nspawn are below.
const (
	firstUID  = 1879048192
	rangeSize = 1 << 16
	ranges    = (2147352576 - firstUID) / rangeSize
)

// uidRange returns the first host user id of a pod's range. The same pod has
// the same range as long as its volumes live, or their files would change hands;
// two pods never have the same. The choice is a file, made before it is used.
// The caller holds the runtime's lock.
func uidRange(l layout, identity string, pod provider.PodID) (uint32, error) {
	entries, err := os.ReadDir(l.ranges())
	if err != nil {
		return 0, fmt.Errorf("listing user id ranges: %w", err)
	}
	// A file is named "RANGE.POD": the directory is the whole table.
	taken := map[uint64]bool{}
	for _, e := range entries {
		number, owner, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n >= ranges {
			continue
		}
		if owner == string(pod) {
			return uint32(firstUID + n*rangeSize), nil
		}
		taken[n] = true
	}
	sum := sha256.Sum256([]byte(identity + "\x00" + string(pod)))
	start := binary.BigEndian.Uint64(sum[:8]) % ranges
	for i := range uint64(ranges) {
		n := (start + i) % ranges
		if taken[n] {
			continue
		}
		f, err := os.OpenFile(filepath.Join(l.ranges(), strconv.FormatUint(n, 10)+"."+string(pod)), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, fmt.Errorf("taking a user id range: %w", err)
		}
		if err := errors.Join(f.Close(), attendant.SyncDir(l.ranges())); err != nil {
			return 0, fmt.Errorf("taking a user id range: %w", err)
		}
		return uint32(firstUID + n*rangeSize), nil
	}
	return 0, status.New(status.ResourceExhausted, "capacity.uids", "all %d ranges of user ids are taken", ranges)
}

// rangeOwners are the pods that have a range.
func rangeOwners(l layout) (map[provider.PodID]bool, error) {
	entries, err := os.ReadDir(l.ranges())
	if err != nil {
		return nil, fmt.Errorf("listing user id ranges: %w", err)
	}
	pods := map[provider.PodID]bool{}
	for _, e := range entries {
		if _, pod, ok := strings.Cut(e.Name(), "."); ok && safeName.MatchString(pod) {
			pods[provider.PodID(pod)] = true
		}
	}
	return pods, nil
}

// freeUIDRange gives a pod's range back.
func freeUIDRange(l layout, pod provider.PodID) error {
	paths, err := filepath.Glob(filepath.Join(l.ranges(), "*."+string(pod)))
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
