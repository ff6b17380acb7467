package harness

import (
	"os"
	"os/exec"
)

// systemCertificates is where Debian's programs find the authorities that they trust.
const systemCertificates = "/etc/ssl/certs/ca-certificates.crt"

// underTrust starts a program in a mount namespace of its own, with a file in the place
// of the machine's certificates. The process stays the same one.
const underTrust = `mount --bind "$1" "$2" && shift 2 && exec "$@"`

// Trust has the programs of this world that are started from now on take these
// certificates, in PEM, for the machine's.
func (w *World) Trust(certificates []byte) {
	w.t.Helper()
	w.trusted = w.Write("certificates.crt", string(certificates))
	// Git runs as nobody.
	if err := os.Chmod(w.trusted, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// command is a run of one of the programs.
func (w *World) command(program string, args ...string) *exec.Cmd {
	if w.trusted == "" {
		return exec.Command(program, args...)
	}
	return exec.Command("unshare", append([]string{"--mount", "--", "/bin/sh", "-c", underTrust, "sh", w.trusted, systemCertificates, program}, args...)...)
}
