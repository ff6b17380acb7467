package tlog

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func sampleHead() Head {
	return Head{Peer: peer, Size: 5, Root: sum("root"), BootEpoch: epoch, Time: at}
}

func TestHeadRoundTrip(t *testing.T) {
	empty := sampleHead()
	empty.Size, empty.Root = 0, emptyRoot()
	for _, want := range []Head{sampleHead(), empty} {
		b := must[[]byte](t)(SignHead(want, key))
		got := must[Head](t)(OpenHead(b, peer, pub(key)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	big := Head{strings.Repeat("x", maxPeer), MaxSize, sum(""), make([]byte, maxEpoch), time.UnixMilli(maxMillis)}
	if b := must[[]byte](t)(SignHead(big, key)); len(b) > MaxHead {
		t.Errorf("the largest head has %d bytes", len(b))
	}
}

func TestSignHeadRefuses(t *testing.T) {
	for name, f := range map[string]func(*Head){
		"no peer":         func(h *Head) { h.Peer = "" },
		"peer of a path":  func(h *Head) { h.Peer = "offer/0.0.1" },
		"peer of lines":   func(h *Head) { h.Peer = "a\n9" },
		"long peer":       func(h *Head) { h.Peer = strings.Repeat("x", maxPeer+1) },
		"negative":        func(h *Head) { h.Size = -1 },
		"too large":       func(h *Head) { h.Size = MaxSize + 1 },
		"empty with root": func(h *Head) { h.Size = 0 },
		"no boot":         func(h *Head) { h.BootEpoch = nil },
		"long boot":       func(h *Head) { h.BootEpoch = make([]byte, maxEpoch+1) },
		"no time":         func(h *Head) { h.Time = time.Time{} },
		"nanoseconds":     func(h *Head) { h.Time = h.Time.Add(1) },
	} {
		t.Run(name, func(t *testing.T) {
			h := sampleHead()
			f(&h)
			b, err := SignHead(h, key)
			refused(t, err, status.InvalidArgument, "tlog.invalid")
			if b != nil {
				t.Error("a note came out")
			}
		})
	}
	_, err := SignHead(sampleHead(), nil)
	refused(t, err, status.Internal, "tlog.invalid")
	_, err = SignHead(Head{}, key)
	if e, ok := err.(*status.Error); !ok || len(e.Faults) != 4 {
		t.Errorf("got %v, want all faults", err)
	}
}

func TestOpenHeadRefuses(t *testing.T) {
	good := must[[]byte](t)(SignHead(sampleHead(), key))
	h := sampleHead()
	text := func(lines ...string) []byte { return signText(t, strings.Join(lines, "\n")+"\n", peer, key) }
	l := strings.Split(strings.TrimSuffix(h.text(), "\n"), "\n")
	edit := func(i int, s string) []byte {
		e := append([]string{}, l...)
		e[i] = s
		return text(e...)
	}
	sigLine := func(b64 string) []byte {
		return fmt.Appendf(nil, "%s\n— %s %s\n", h.text(), h.Origin(), b64)
	}
	b64 := strings.Fields(string(good[bytes.LastIndexByte(good[:len(good)-1], '\n')+1:]))[2]
	raw, _ := base64.StdEncoding.DecodeString(b64)
	other := sampleHead()
	other.Peer = "12D3KooWOther"
	const parse, signature = "tlog.parse", "tlog.signature"
	for name, tt := range map[string]struct {
		b      []byte
		code   status.Code
		reason string
	}{
		"another key":       {must[[]byte](t)(SignHead(h, otherKey)), status.Untrusted, signature},
		"another peer":      {must[[]byte](t)(SignHead(other, key)), status.Untrusted, signature},
		"another's text":    {signText(t, other.text(), peer, key), status.Untrusted, signature},
		"no signature":      {[]byte(h.text()), status.Untrusted, signature},
		"empty":             {nil, status.Untrusted, signature},
		"size changed":      {bytes.Replace(good, []byte("\n5\n"), []byte("\n6\n"), 1), status.Untrusted, signature},
		"over the cap":      {append(bytes.Clone(good), make([]byte, MaxHead)...), status.InvalidArgument, "tlog.too_large"},
		"two signatures":    {append(bytes.Clone(good), fmt.Sprintf("— witness %s\n", b64)...), status.InvalidArgument, parse},
		"signature twice":   {append(bytes.Clone(good), fmt.Sprintf("— %s %s\n", h.Origin(), b64)...), status.InvalidArgument, parse},
		"loose base64":      {sigLine(loose(b64)), status.InvalidArgument, parse},
		"longer signature":  {sigLine(base64.StdEncoding.EncodeToString(append(raw, 0))), status.Untrusted, signature},
		"a note":            {text("anything"), status.InvalidArgument, parse},
		"checkpoint alone":  {text(l[:3]...), status.InvalidArgument, parse},
		"one line more":     {text(append(l, "more")...), status.InvalidArgument, parse},
		"lines swapped":     {text(l[0], l[1], l[2], l[4], l[3]), status.InvalidArgument, parse},
		"no prefix":         {edit(0, peer), status.InvalidArgument, parse},
		"plus":              {edit(1, "+5"), status.InvalidArgument, parse},
		"leading zero":      {edit(1, "05"), status.InvalidArgument, parse},
		"negative size":     {edit(1, "-1"), status.InvalidArgument, parse},
		"largest number":    {edit(1, fmt.Sprint(int64(math.MaxInt64))), status.InvalidArgument, parse},
		"over the size":     {edit(1, fmt.Sprint(MaxSize+1)), status.InvalidArgument, parse},
		"overflow":          {edit(1, "99999999999999999999"), status.InvalidArgument, parse},
		"empty with a root": {edit(1, "0"), status.InvalidArgument, parse},
		"short root":        {edit(2, "AAAA"), status.InvalidArgument, parse},
		"upper case hex":    {edit(3, "boot 0102AB"), status.InvalidArgument, parse},
		"no epoch":          {edit(3, "boot "), status.InvalidArgument, parse},
		"odd epoch":         {edit(3, "boot 123"), status.InvalidArgument, parse},
		"time in seconds":   {edit(4, "time 1.5"), status.InvalidArgument, parse},
		"time zero":         {edit(4, "time 0"), status.InvalidArgument, parse},
		"time to come":      {edit(4, "time 9999999999999"), status.InvalidArgument, parse},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := OpenHead(tt.b, peer, pub(key))
			refused(t, err, tt.code, tt.reason)
			if got.Peer != "" || got.Size != 0 {
				t.Error("a head came out")
			}
		})
	}
	_, err := OpenHead(good, "not a peer", pub(key))
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	_, err = OpenHead(good, peer, nil)
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	_, err = OpenHead(good, peer, pub(key)[:31])
	refused(t, err, status.InvalidArgument, "tlog.invalid")
}

// loose sets a bit of the last character that no byte has: 68 bytes leave two
// such bits.
func loose(b64 string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := strings.IndexByte(b64, '=') - 1
	return b64[:i] + string(alphabet[strings.IndexByte(alphabet, b64[i])|1]) + b64[i+1:]
}

func TestEveryBitOfAHeadCounts(t *testing.T) {
	b := must[[]byte](t)(SignHead(sampleHead(), key))
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := OpenHead(b, peer, pub(key)); err == nil {
			t.Errorf("bit %d flipped: accepted", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// Nothing else that the receipt key signs begins like a head.
func TestHeadsAreNothingElse(t *testing.T) {
	text := sampleHead().text()
	for _, other := range []string{"apocryph/offer/0.0.1\x00", "DSSEv1 "} {
		if strings.HasPrefix(text, other) {
			t.Errorf("a head begins with %q", other)
		}
		if peer, ok := strings.CutPrefix(other, OriginPrefix); ok && validPeer(strings.TrimRight(peer, "\x00")) {
			t.Errorf("%q may be the origin of a log", other)
		}
	}
}

func FuzzOpenHead(f *testing.F) {
	good := must[[]byte](f)(SignHead(sampleHead(), key))
	f.Add(good, sampleHead().text())
	f.Add([]byte("\n\n— a AAAA\n"), "apocryph/x\n9223372036854775807\n\n\n\n")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		if h, err := OpenHead(b, peer, pub(key)); err == nil {
			if again, err := SignHead(h, key); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q is accepted and signs as %q (%v)", b, again, err)
			}
		}
		// What an attested key signed may be malicious too.
		if !strings.HasSuffix(text, "\n") {
			return
		}
		if h, err := OpenHead(signText(t, text, peer, key), peer, pub(key)); err == nil && (h.text() != text || h.check() != nil) {
			t.Fatalf("%q is accepted and is %q", text, h.text())
		}
	})
}

func BenchmarkOpenHead(b *testing.B) {
	note := must[[]byte](b)(SignHead(sampleHead(), key))
	k := ed25519.PublicKey(pub(key))
	for b.Loop() {
		if _, err := OpenHead(note, peer, k); err != nil {
			b.Fatal(err)
		}
	}
}
