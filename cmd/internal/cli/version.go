package cli

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker.
var version string

// Version is the program's version: what the build was given, else what the
// Go toolchain recorded.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// Platform is the machine that the program was built for, "linux/amd64".
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
