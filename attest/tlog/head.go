package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

const (
	// OriginPrefix begins the origin of every log; the peer id follows.
	OriginPrefix = "apocryph/"
	// MaxHead bounds a signed head in bytes; an honest one has about 400.
	MaxHead = 1 << 10
	// MaxSize bounds a tree. The arithmetic of trees does not end for sizes near
	// the largest number, which a head could claim; a log of this size would take
	// ten entries a millisecond for three years.
	MaxSize = 1 << 40
	// maxPeer bounds the text form of a peer id, in bytes.
	maxPeer = 128
	// maxEpoch bounds a boot epoch, in bytes, as the claims do.
	maxEpoch = 64
	// headLines is the number of lines of a head's text.
	headLines = 5
)

// Head is a tree, and when and in which boot the provider stood by it.
type Head struct {
	// Peer is the text form of the provider's peer id.
	Peer string
	// Size is the number of entries.
	Size int64
	Root Hash
	// BootEpoch is that of the claims, 1 to 64 bytes.
	BootEpoch []byte
	// Time is when the head was signed, in whole milliseconds.
	Time time.Time
}

// Origin is the first line of the head's note and the name of its key.
func (h Head) Origin() string { return OriginPrefix + h.Peer }

func (h Head) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nboot %x\ntime %d\n", h.Origin(), h.Size, h.Root, h.BootEpoch, h.Time.UnixMilli())
}

func (h Head) check() error {
	var f faults
	if !validPeer(h.Peer) {
		f.add("peer", fmt.Sprintf("%.32q", h.Peer), fmt.Sprintf("1 to %d letters and digits", maxPeer))
	}
	if h.Size < 0 || h.Size > MaxSize {
		f.add("size", fmt.Sprint(h.Size), fmt.Sprintf("0 to %d", int64(MaxSize)))
	}
	if h.Size == 0 && h.Root != emptyRoot() {
		f.add("root", h.Root.String(), "that of an empty tree")
	}
	if len(h.BootEpoch) < 1 || len(h.BootEpoch) > maxEpoch {
		f.add("boot", fmt.Sprintf("%d bytes", len(h.BootEpoch)), fmt.Sprintf("1 to %d", maxEpoch))
	}
	f.time("time", h.Time)
	return f.invalid(reasonInvalid, "head of the transparency log")
}

// validPeer allows what base58 and base32 use: the origin of a log can then
// never be the beginning of anything else that a receipt key signs.
func validPeer(s string) bool {
	return len(s) >= 1 && len(s) <= maxPeer && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// emptyRoot is the root of no entries (RFC 6962, 2.1).
func emptyRoot() Hash { return sha256.Sum256(nil) }

// SignHead returns the head as a note, signed with the receipt key. A head that
// [OpenHead] would refuse is invalid_argument "tlog.invalid".
func SignHead(h Head, key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, status.New(status.Internal, reasonInvalid, "the receipt key has %d bytes", len(key))
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	// The note package takes keys in the form of text; this is the same without
	// the text, which would be a copy of the private key.
	v, err := verifier(h.Peer, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	b, err := note.Sign(&note.Note{Text: h.text()}, signer{v, key})
	if err != nil {
		return nil, fmt.Errorf("signing a head: %w", err)
	}
	return b, nil
}

type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign implements [note.Signer].
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func verifier(peer string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(OriginPrefix+peer, key)
	if err == nil {
		var v note.Verifier
		if v, err = note.NewVerifier(text); err == nil {
			return v, nil
		}
	}
	return nil, status.Wrap(err, status.InvalidArgument, reasonInvalid, "the receipt key of %.64q cannot verify notes", peer)
}

// OpenHead returns the head that the provider of this peer id has signed with
// the attested receipt key. What is not in form is invalid_argument "tlog.parse";
// what another key signed, or another provider, is untrusted "tlog.signature".
func OpenHead(b []byte, peer string, key ed25519.PublicKey) (Head, error) {
	if len(b) > MaxHead {
		return Head{}, tooLarge("head", len(b), MaxHead)
	}
	if !validPeer(peer) {
		return Head{}, status.New(status.InvalidArgument, reasonInvalid, "peer: got %.32q, want a peer id", peer)
	}
	v, err := verifier(peer, key)
	if err != nil {
		return Head{}, err
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		// Also a note without form: whether it is the one or the other does not
		// matter to whoever asked for this key's word.
		return Head{}, status.Wrap(err, status.Untrusted, reasonSignature, "the head of the log is not signed by the attested key of %s", peer)
	}
	h, err := parseHead(n.Text)
	if err != nil {
		return Head{}, err
	}
	if h.Peer != peer {
		return Head{}, refuse(reasonSignature, "the head is of the log of %s, want %s", h.Peer, peer)
	}
	// Exactly what SignHead writes: no further signatures, and no second spelling
	// of a number or of the signature.
	raw, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	if err != nil || !bytes.Equal(b, fmt.Appendf(nil, "%s\n— %s %s\n", h.text(), h.Origin(), base64.StdEncoding.EncodeToString(raw))) {
		return Head{}, notForm("head: it is not in the one form that its fields have")
	}
	return h, nil
}

// parseHead reads the five lines, and may take more than one spelling of them.
func parseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != headLines+1 || lines[headLines] != "" {
		return Head{}, notForm("head: got %d lines, want %d", len(lines)-1, headLines)
	}
	peer, ok1 := strings.CutPrefix(lines[0], OriginPrefix)
	size, err1 := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := tlog.ParseHash(lines[2])
	boot, ok2 := strings.CutPrefix(lines[3], "boot ")
	epoch, err3 := hex.DecodeString(boot)
	at, ok3 := strings.CutPrefix(lines[4], "time ")
	ms, err4 := strconv.ParseInt(at, 10, 64)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return Head{}, status.Wrap(err, status.InvalidArgument, reasonParse, "head: its text is not that of a log's head")
		}
	}
	if !ok1 || !ok2 || !ok3 {
		return Head{}, notForm("head: its lines are not origin, size, root, boot and time")
	}
	h := Head{Peer: peer, Size: size, Root: root, BootEpoch: epoch, Time: time.UnixMilli(ms).UTC()}
	if err := h.check(); err != nil {
		return Head{}, status.Wrap(err, status.InvalidArgument, reasonParse, "head: its fields are not valid")
	}
	return h, nil
}
