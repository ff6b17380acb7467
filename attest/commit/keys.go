package commit

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"apocryph/proto/status"
)

const (
	// maxKeys caps a list: each PGP signature may be tried with several.
	maxKeys = 256
	// maxKeyText caps each text of keys, in bytes. A PGP key that many have
	// certified can be megabytes (certificate flooding, 2019).
	maxKeyText = 256 << 10
	// minRSA is the least size of an RSA key, in bits (NIST SP 800-131A).
	minRSA = 2048
)

// Keys are those whose signatures count. The zero value has none.
type Keys struct {
	ssh []sshKey
	pgp openpgp.EntityList
}

// sshKey is a line of allowed signers.
type sshKey struct {
	name        string
	key         ssh.PublicKey
	after, till time.Time
}

// Len is the number of keys.
func (k Keys) Len() int { return len(k.ssh) + len(k.pgp) }

// sshKinds are the algorithms that are taken. Certificates and DSA are not.
var sshKinds = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
}

const (
	pgpBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	pgpEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// ParseKeys reads lists of keys, in any mixture: lines of OpenSSH's allowed
// signers (ssh-keygen(1)), bare lines of public keys "ssh-ed25519 AAAA… name",
// and armoured blocks of PGP public keys. All faults come at once, each with
// its line.
func ParseKeys(texts ...[]byte) (Keys, error) {
	var k Keys
	var faults []status.Fault
	for i, text := range texts {
		field := fmt.Sprintf("keys[%d]", i)
		if len(text) > maxKeyText {
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%d bytes", len(text)), Want: fmt.Sprintf("at most %d", maxKeyText)})
			continue
		}
		for _, f := range k.parse(string(text)) {
			f.Field = field
			faults = append(faults, f)
		}
	}
	if n := k.Len(); n > maxKeys {
		faults = append(faults, status.Fault{Field: "keys", Got: fmt.Sprintf("%d keys", n), Want: fmt.Sprintf("at most %d", maxKeys)})
	}
	if len(faults) > 0 {
		return Keys{}, status.Invalid(ReasonMalformed, "the list of keys", faults)
	}
	return k, nil
}

func (k *Keys) parse(text string) (faults []status.Fault) {
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		line, at := strings.TrimSpace(lines[n]), n+1
		if line == "" || line[0] == '#' {
			continue
		}
		if line == pgpBegin {
			end := slices.IndexFunc(lines[n:], func(s string) bool { return strings.TrimSpace(s) == pgpEnd })
			if end < 0 {
				return append(faults, status.Fault{Line: at, Got: "a block without an end", Want: pgpEnd})
			}
			block := strings.Join(lines[n:n+end+1], "\n") + "\n"
			n += end
			list, why := readPGP(block)
			if why != "" {
				faults = append(faults, status.Fault{Line: at, Got: why, Want: "a block of PGP public keys"})
			}
			k.pgp = append(k.pgp, list...)
			continue
		}
		key, got, want := signerLine(line)
		if got != "" {
			faults = append(faults, status.Fault{Line: at, Got: got, Want: want})
			continue
		}
		k.ssh = append(k.ssh, key)
	}
	return faults
}

// signerLine reads "[PRINCIPALS [OPTIONS]] KIND BASE64 [COMMENT]".
func signerLine(line string) (k sshKey, got, want string) {
	const form = "[PRINCIPALS [OPTIONS]] KIND BASE64 [COMMENT], or an armoured PGP key"
	fields := strings.Fields(line)
	at := slices.IndexFunc(fields, func(f string) bool { return slices.Contains(sshKinds, f) })
	if at < 0 || at > 2 || len(fields) < at+2 {
		for _, f := range fields {
			if strings.Contains(f, "-cert-v01@") || f == "cert-authority" || f == "ssh-dss" {
				return k, printable(f), "an ed25519, ecdsa or RSA key; certificates and DSA are not taken"
			}
		}
		return k, "another line", form
	}
	blob, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(fields[at] + " " + fields[at+1]))
	if err != nil || len(rest) > 0 || blob.Type() != fields[at] {
		return k, "a key that cannot be read", form
	}
	if bits := rsaBits(blob); bits != 0 && bits < minRSA {
		return k, fmt.Sprintf("an RSA key of %d bits", bits), fmt.Sprintf("at least %d", minRSA)
	}
	k.key, k.name = blob, strings.Join(fields[at+2:], " ")
	if at > 0 {
		k.name = strings.Trim(fields[0], `"`)
	}
	if k.name = printable(k.name); k.name == "" {
		k.name = ssh.FingerprintSHA256(blob)
	}
	if at == 2 {
		if bad := k.options(fields[1]); bad != "" {
			return k, "the option " + printable(bad), `namespaces with git, valid-after and valid-before`
		}
	}
	return k, "", ""
}

// options reads those of an allowed signer. The one that is wrong is returned.
func (k *sshKey) options(s string) string {
	for s != "" {
		var o string
		inQuotes := false
		end := strings.IndexFunc(s, func(r rune) bool {
			if r == '"' {
				inQuotes = !inQuotes
			}
			return r == ',' && !inQuotes
		})
		if end < 0 {
			o, s = s, ""
		} else {
			o, s = s[:end], s[end+1:]
		}
		name, value, _ := strings.Cut(o, "=")
		value = strings.Trim(value, `"`)
		var ok bool
		switch strings.ToLower(name) {
		case "namespaces":
			ok = slices.Contains(strings.Split(value, ","), sshNamespace)
		case "valid-after":
			k.after, ok = signerTime(value)
		case "valid-before":
			k.till, ok = signerTime(value)
		}
		if !ok {
			return o
		}
	}
	return ""
}

// signerTime reads YYYYMMDD[HHMM[SS]][Z], which is UTC here with or without the Z.
func signerTime(s string) (time.Time, bool) {
	s = strings.TrimSuffix(s, "Z")
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.Parse(form, s); err == nil && len(s) == len(form) {
			return t, true
		}
	}
	return time.Time{}, false
}

// valid reports whether the line holds at a time.
func (k sshKey) valid(at time.Time) bool {
	return (k.after.IsZero() || !at.Before(k.after)) && (k.till.IsZero() || at.Before(k.till))
}

func (k sshKey) is(key ssh.PublicKey) bool { return bytes.Equal(k.key.Marshal(), key.Marshal()) }

// rsaBits is the size of an RSA key, 0 for others.
func rsaBits(k ssh.PublicKey) int {
	c, ok := k.(ssh.CryptoPublicKey)
	if !ok {
		return 0
	}
	r, ok := c.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return 0
	}
	return r.N.BitLen()
}
