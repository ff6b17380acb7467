package collateral

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net/http"
	"testing"
	"time"

	"apocryph/attest"
)

// amd is a stand-in for AMD: the signer of a chip's certificate, and its list.
type amd struct {
	leaf, list []byte
	asked      []string
}

func newAMD(t *testing.T, signer string, now time.Time) *amd {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: signer}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "SEV-VCEK"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
	a := &amd{}
	if a.leaf, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(100 * time.Hour)}
	if a.list, err = x509.CreateRevocationList(rand.Reader, list, ca, key); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *amd) answer(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.URL.Path)
	if r.URL.Path == "/vcek/v1/Milan/crl" || r.URL.Path == "/vlek/v1/Genoa/crl" {
		_, _ = w.Write(a.list)
		return
	}
	_, _ = w.Write(a.leaf)
}

// snpReport is one of Milan, signed by the chip's key or a loaded one.
func snpReport(loaded bool) []byte {
	r := make([]byte, reportSize)
	binary.LittleEndian.PutUint32(r[atVersion:], processorVersion)
	r[atFamily], r[atModel], r[atChipID] = 0x19, 1, 7
	if loaded {
		r[atSigner] = 1 << 2
	}
	return r
}

// TestRevocationListComesAlong: what a policy with require_crl wants, the
// provider brings without being asked, and goes without it where AMD is silent.
func TestRevocationListComesAlong(t *testing.T) {
	c := &clock{}
	c.at.Store(1_800_000_000)
	own := attest.Endorsement{Kind: attest.SNPCRL, Body: []byte("of the host")}
	for name, tt := range map[string]struct {
		signer      string
		loaded, has bool
		off, down   bool
		kept        []attest.Endorsement
		// asked is the path of the list; certificates are asked for before it.
		asked string
		list  bool
	}{
		"no certificate":          {signer: "SEV-Milan", asked: "/vcek/v1/Milan/crl", list: true},
		"a certificate":           {signer: "SEV-Milan", has: true, asked: "/vcek/v1/Milan/crl", list: true},
		"a cloud's key":           {signer: "SEV-VLEK-Genoa", loaded: true, has: true, asked: "/vlek/v1/Genoa/crl", list: true},
		"a list is there":         {signer: "SEV-Milan", has: true, kept: []attest.Endorsement{own}},
		"AMD is down":             {signer: "SEV-Milan", has: true, down: true},
		"nobody is to be asked":   {signer: "SEV-Milan", has: true, off: true},
		"a line that has no list": {signer: "SEV-Rome", has: true},
	} {
		t.Run(name, func(t *testing.T) {
			v, a := newService(t, c.now), newAMD(t, tt.signer, c.now())
			v.say(a.answer)
			if tt.down {
				v.say(down)
			}
			s := newSource(t, t.TempDir(), c)
			if s.cfg.KDS = v.URL; tt.off {
				s.cfg.KDS = Off
			}
			e := attest.Evidence{Type: attest.SEVSNP, Report: snpReport(tt.loaded), Endorsements: tt.kept}
			if tt.has {
				e.Certificates = [][]byte{a.leaf}
			}
			for range 2 {
				got, err := s.endorseSNP(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				list, ok := got.Endorsed(attest.SNPCRL)
				if want := tt.list || tt.kept != nil; ok != want || tt.list && !bytes.Equal(list.Body, a.list) || tt.kept != nil && !bytes.Equal(list.Body, own.Body) {
					t.Errorf("got a list %v: %x", ok, list.Body)
				}
				if len(got.Certificates) != 1 || !bytes.Equal(got.Certificates[0], a.leaf) || len(got.Endorsements) > 1 {
					t.Errorf("got %d certificates and %d endorsements", len(got.Certificates), len(got.Endorsements))
				}
			}
			lists := 0
			for _, path := range a.asked {
				if path == tt.asked {
					lists++
				}
			}
			if tt.asked != "" && lists != 1 || tt.asked == "" && len(a.asked) > 0 {
				t.Errorf("asked for %q", a.asked)
			}
		})
	}
}
