package containerd

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// logBridge hands containerd's log messages to a slog logger. containerd logs
// to a logger of the process.
type logBridge struct{ to *slog.Logger }

// harmless are the beginnings of messages that containerd repeats in normal
// operation.
var harmless = []string{
	// Each end of a task closes the pipe that is being copied.
	"copy shim log",
	// There is no runc on PATH to ask for its features.
	"failed to query deprecated runtime-allow-mounts annotation",
	// The file system has no fs-verity, which is used where it is there.
	"failed check for fsverity support",
	// A container that cannot start leaves these behind; the call returns why.
	"failed to delete task",
	"warnings while cleaning up dead shim",
	"cleaning up after shim disconnected",
	"cleanup warnings",
}

func bridgeLogs(to *slog.Logger) {
	l := log.L.Logger
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.InfoLevel)
	l.ReplaceHooks(logrus.LevelHooks{})
	l.AddHook(logBridge{to})
}

// Levels are those that are handed over.
func (b logBridge) Levels() []logrus.Level { return logrus.AllLevels }

// Fire hands one message over: warnings and errors as warnings, because the
// call that meets an error returns it too, everything else for debugging.
func (b logBridge) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	if e.Level <= logrus.WarnLevel {
		level = slog.LevelWarn
		for _, h := range harmless {
			if strings.HasPrefix(e.Message, h) {
				level = slog.LevelDebug
			}
		}
	}
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if !b.to.Enabled(ctx, level) {
		return nil
	}
	attrs := make([]slog.Attr, 0, len(e.Data)+1)
	attrs = append(attrs, slog.String("message", e.Message))
	for k, v := range e.Data {
		attrs = append(attrs, slog.Any(k, v))
	}
	b.to.LogAttrs(ctx, level, "containerd", attrs...)
	return nil
}
