package cli

import (
	"io"
	"log/slog"

	"apocryph/proto/status"
)

// NewLogger makes the logger that flags ask for. An empty format is text on a
// terminal and JSON elsewhere.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, status.New(status.InvalidArgument, "log.level", "log-level is %q, want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "":
		if IsTerminal(w) {
			return slog.New(slog.NewTextHandler(w, opts)), nil
		}
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, status.New(status.InvalidArgument, "log.format", "log-format is %q, want text or json", format)
}
