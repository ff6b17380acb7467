package attesttest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TPM is a manufactured software TPM that runs.
type TPM struct {
	// Socket is the path of its command socket; Path is "unix:" and that.
	Socket, Path string
	// Root and Issuer are the authority that certified its endorsement keys.
	Root, Issuer *x509.Certificate

	dir, ca string
	stop    func()
}

// SWTPM manufactures a software TPM with endorsement keys (RSA 2048 and ECC
// P-384) that a new authority certifies, and runs it until the test ends.
func SWTPM(t testing.TB) *TPM {
	t.Helper()
	return manufacture(t, shortDir(t))
}

// Sibling manufactures another TPM under the same authority.
func (m *TPM) Sibling(t testing.TB) *TPM {
	t.Helper()
	return manufacture(t, m.ca)
}

func manufacture(t testing.TB, ca string) *TPM {
	t.Helper()
	m := &TPM{dir: shortDir(t), ca: ca}
	m.Socket = filepath.Join(m.dir, "tpm.sock")
	m.Path = "unix:" + m.Socket
	state := filepath.Join(m.dir, "state")
	must(t, os.Mkdir(state, 0o700))
	localca, setup := filepath.Join(m.dir, "localca.conf"), filepath.Join(m.dir, "setup.conf")
	tool, err := exec.LookPath("swtpm_localca")
	must(t, err)
	write(t, localca, fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuercert.pem\ncertserial = %[1]s/certserial\n", ca))
	options := filepath.Join(m.dir, "options")
	write(t, options, "--platform-manufacturer test\n--platform-version 1\n--platform-model test\n")
	write(t, setup, fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n", tool, localca, options))
	out, err := exec.CommandContext(t.Context(), "swtpm_setup", "--tpm2", "--tpm-state", state, "--config", setup,
		"--create-ek-cert", "--lock-nvram", "--pcr-banks", "sha256,sha384", "--overwrite").CombinedOutput()
	if err != nil {
		t.Fatalf("manufacturing a software TPM: %v\n%s", err, out)
	}
	m.Root = certificate(t, filepath.Join(ca, "swtpm-localca-rootca-cert.pem"))
	m.Issuer = certificate(t, filepath.Join(ca, "issuercert.pem"))
	m.Start(t)
	return m
}

// Start powers the TPM on; SWTPM has done so already. The socket listens before
// the process runs, so nobody has to wait for it.
func (m *TPM) Start(t testing.TB) {
	t.Helper()
	must(t, remove(m.Socket))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.Socket, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	listener, err := l.File()
	must(t, err)
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+filepath.Join(m.dir, "state"),
		"--server", fmt.Sprintf("type=unixio,fd=%d", firstExtraFile), "--flags", "not-need-init,startup-clear")
	cmd.ExtraFiles = []*os.File{listener}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	must(t, errors.Join(listener.Close(), l.Close()))
	m.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			// It reports every client that hangs up, which is each command.
			t.Logf("swtpm: %s", strings.ReplaceAll(log.String(), "swtpm: Data client disconnected\n", ""))
		}
	})
	t.Cleanup(m.stop)
}

// firstExtraFile is the number of a child's first inherited file.
const firstExtraFile = 3

// Restart powers the TPM off and on: registers and loaded objects are gone, the
// reset counter has grown.
func (m *TPM) Restart(t testing.TB) {
	t.Helper()
	m.stop()
	m.Start(t)
}

// Open returns a transport of its own. Commands of several transports take turns.
func (m *TPM) Open(t testing.TB) transport.TPM {
	t.Helper()
	tpm, err := linuxudstpm.Open(m.Socket)
	must(t, err)
	t.Cleanup(func() { _ = tpm.Close() })
	return tpm
}

// Extend extends a register of the SHA-256 bank.
func (m *TPM) Extend(t testing.TB, pcr uint32, digest [32]byte) {
	t.Helper()
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}},
	}.Execute(m.Open(t))
	must(t, err)
}

// shortDir is a directory whose path leaves room for a socket's name: 108 bytes
// is the system's limit.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func certificate(t testing.TB, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var der []byte
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	}
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return c
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
