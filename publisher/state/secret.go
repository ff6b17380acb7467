package state

import (
	"fmt"
	"io"
)

// Secret is bytes that do not print: however it is formatted, or encoded as
// JSON or text, it shows that it is there and not what it is. Its bytes are
// reached by converting it to []byte.
type Secret []byte

// redacted is what a secret shows.
const redacted = "[secret]"

// Format implements [fmt.Formatter] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler], which JSON and slog use.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
