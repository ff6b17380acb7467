package measure

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"apocryph/attest/podlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	journalFile  = "journal"
	openingsFile = "openings"
)

// Open opens the log of this boot, or begins it, and finishes what a crash
// interrupted. A journal that is damaged is internal "podlog.journal", a register
// that it does not explain untrusted "podlog.register": in both cases there is
// no log before the machine boots again.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	return open(ctx, cfg, func(f *os.File) file { return f })
}

// open is Open with something between the log and its files.
func open(ctx context.Context, cfg Config, wrap func(*os.File) file) (*Log, error) {
	journalKey, openingsKey, err := cfg.keys()
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, log: cfg.Logger, name: provider.NoRegister}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.cfg.Random == nil {
		l.cfg.Random = rand.Reader
	}
	if cfg.Register != nil {
		l.name = cfg.Register.Name()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the pod log's directory: %w", err)
	}
	now, err := l.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the pod log's register: %w", err)
	}
	content, err := l.current(journalKey, now)
	if err != nil {
		return nil, fmt.Errorf("opening the pod log: %w", err)
	}
	if err := l.read(ctx, content, journalKey, openingsKey, now, wrap); err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.f.Close())
		}
		if l.openings != nil {
			err = errors.Join(err, l.openings.f.Close())
		}
		return nil, fmt.Errorf("opening the pod log: %w", err)
	}
	l.log.Info("pod log", "register", l.name, "events", l.journal.Head.Length)
	return l, nil
}

// path is that of a file of this boot: its name has a hash of the epoch, so that
// what another boot left, and however damaged it is, is never looked at.
func (l *Log) path(name string) string {
	sum := sha256.Sum256(l.cfg.Epoch)
	return filepath.Join(l.cfg.Dir, name+"-"+hex.EncodeToString(sum[:8]))
}

// current returns the journal of this boot. Where there is none it begins one
// and removes what earlier boots left.
func (l *Log) current(key []byte, now podlog.Boot) ([]byte, error) {
	f, err := os.Open(l.path(journalFile))
	if err == nil {
		content, err := readAll(f, int64(podlog.MaxJournal))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("reading the journal: %w", err)
		}
		return content, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Openings without a journal are nobody's.
	old, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range old {
		if err := os.Remove(filepath.Join(l.cfg.Dir, e.Name())); err != nil {
			return nil, fmt.Errorf("removing the log of an earlier boot: %w", err)
		}
	}
	_, content, err := podlog.NewJournal(now, key)
	if err != nil {
		return nil, err
	}
	return content, replace(l.path(journalFile), content)
}

// read takes over a journal of this boot and brings the register to where it is.
func (l *Log) read(ctx context.Context, content, journalKey, openingsKey []byte, now podlog.Boot, wrap func(*os.File) file) error {
	var intact int
	var err error
	if l.journal, l.records, intact, err = podlog.ReadJournal(content, journalKey); err != nil {
		return l.refuse(err)
	}
	f, err := os.OpenFile(l.path(journalFile), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	l.file = &disk{f: wrap(f), size: int64(len(content))}
	f, err = os.OpenFile(l.path(openingsFile), os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.OpenFile(l.path(openingsFile), os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			err = syncDir(l.cfg.Dir)
		}
	}
	if err != nil {
		return err
	}
	if l.openings, err = newOpenings(wrap(f), openingsKey, l.cfg.Epoch); err != nil {
		return errors.Join(err, f.Close())
	}
	missing, err := l.openings.load(l.records)
	if err != nil {
		return err
	}
	if missing > 0 {
		l.log.Warn("events of the pod log cannot be opened any more", "events", missing)
	}
	if intact < len(content) {
		if err := l.file.cut(int64(intact)); err != nil {
			return err
		}
	}
	if l.cfg.Register == nil {
		// Nothing else tells what the head is; the epoch has to be this boot's.
		now.SHA384 = l.journal.Head.SHA384[:]
	}
	// Also where no record waits: somebody else may have extended the register.
	if _, err := l.journal.Reconcile(now); err != nil {
		return l.refuse(err)
	}
	return l.settle(ctx)
}

// refuse says what can be done about a log that cannot go on.
func (l *Log) refuse(cause error) error {
	var s *status.Error
	if !errors.As(cause, &s) || s.Reason == "podlog.bank" {
		return cause
	}
	hint := "boot the machine: a new log begins then"
	if l.cfg.Register == nil {
		hint = "move its directory, podlog in the data directory, away: without a register nobody else knows of it"
	}
	return status.Wrap(cause, s.Code, s.Reason, "the pod log of this boot cannot be continued").WithHint("%s", hint)
}
