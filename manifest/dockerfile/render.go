package dockerfile

import (
	"bytes"
	"fmt"
	"strings"
)

// Render writes the file for a builder that has the images under other names:
// local has a name for each of [File.Images]. Names behind COPY --from and RUN
// --mount=from stay as they are ([File.Mounted]).
func (f *File) Render(local func(name string) string) []byte {
	var out bytes.Buffer
	if f.escape != '\\' {
		fmt.Fprintf(&out, "# escape=%c\n", f.escape)
	}
	for _, l := range f.lines {
		text := l.text
		if l.from != "" {
			base := l.from
			if l.image {
				base = local(base)
			}
			text = strings.TrimSuffix("FROM "+base+" AS "+l.as, " AS ")
		}
		out.WriteString(text + "\n")
	}
	return out.Bytes()
}
