package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"
	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/client/linuxabi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/uuid"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/collateral"
	"apocryph/attest/device/tsm"
	"apocryph/proto/status"
)

// These tests hold the devices against the verifier: what a provider makes on
// real hardware's interfaces is what this package accepts.

// configfs answers as a kernel whose platform makes reports with quote and has
// aux beside them.
func configfs(provider string, aux []byte, quote func(data [64]byte) []byte) configfsi.Client {
	sub := faketsm.ReportV7(0)
	sub.ReadAttr = func(e *faketsm.ReportEntry, attr string) ([]byte, error) {
		switch attr {
		case "provider":
			return []byte(provider + "\n"), nil
		case "auxblob":
			return aux, nil
		case "outblob":
			return quote([64]byte(e.InAttrs["inblob"].Value)), nil
		}
		return nil, os.ErrNotExist
	}
	return &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": sub}}
}

func produce(t *testing.T, cfg tsm.Config, source collateral.Config) (attest.Evidence, []byte, attest.Challenge, error) {
	t.Helper()
	source.Now = time.Now
	if source.Dir == "" {
		source.Dir = t.TempDir()
	}
	endorser, err := collateral.New(source)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Endorser, cfg.StateDir = endorser, t.TempDir()
	d, err := tsm.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	ch := attesttest.NewChallenge(t)
	claims := attest.EncodeClaims(attesttest.Claims(ch, time.Now()))
	e, err := d.Attest(t.Context(), claims)
	return e, claims, ch, err
}

// amdService serves what AMD's service has for one chip.
func amdService(t *testing.T, c *chip, asked *atomic.Int32) string {
	query := "blSPL=3&teeSPL=0&snpSPL=8&ucodeSPL=115"
	id := hex.EncodeToString(c.id[:])
	switch c.line {
	case "Genoa":
		query = "blSPL=9&teeSPL=0&snpSPL=23&ucodeSPL=72"
	case "Turin":
		query, id = "fmcSPL=1&blSPL=2&teeSPL=1&snpSPL=4&ucodeSPL=80", hex.EncodeToString(c.id[:8])
	}
	crl := c.crl(t, nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.RequestURI() {
		case "/vcek/v1/" + c.line + "/" + id + "?" + query:
			_, _ = w.Write(c.Vcek.Raw)
		case "/vcek/v1/" + c.line + "/crl", "/vlek/v1/" + c.line + "/crl":
			_, _ = w.Write(crl)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func table(certs map[string]*x509.Certificate) []byte {
	var c abi.CertTable
	for guid, cert := range certs {
		c.Entries = append(c.Entries, abi.CertTableEntry{GUID: uuid.MustParse(guid), RawCert: cert.Raw})
	}
	return c.Marshal()
}

func TestProducedSNP(t *testing.T) {
	for _, kind := range []chip{milan, genoa, turin} {
		for _, vlek := range []bool{false, true} {
			c := kind.make(t, vlek)
			leaf, signer, guid := c.Vcek, c.Ask, abi.VcekGUID
			if vlek {
				leaf, signer, guid = c.Vlek, c.Asvk, abi.VlekGUID
			}
			for name, aux := range map[string][]byte{
				"whole table": table(map[string]*x509.Certificate{guid: leaf, abi.AskGUID: signer, abi.ArkGUID: c.Ark}),
				"leaf alone":  table(map[string]*x509.Certificate{guid: leaf}),
				"another signing certificate": table(map[string]*x509.Certificate{
					guid: leaf, abi.AskGUID: c.Vcek, abi.ArkGUID: c.Ark,
				}),
				"no table": nil,
			} {
				if vlek && aux == nil {
					continue
				}
				t.Run(fmt.Sprintf("%s/vlek=%v/%s", c.line, vlek, name), func(t *testing.T) {
					var asked atomic.Int32
					client := configfs("sev_guest", aux, func(data [64]byte) []byte { return c.evidence(t, data, nil).Report })
					e, claims, ch, err := produce(t, tsm.Config{Type: attest.SEVSNP, Client: client}, collateral.Config{KDS: amdService(t, c, &asked)})
					if err != nil {
						t.Fatal(err)
					}
					if want := int32(1); aux != nil && asked.Load() != want {
						t.Errorf("the service was asked %d times, want once, for the list", asked.Load())
					}
					r, err := Evidence([]attest.Evidence{e}, claims, ch, nil, c.roots(), time.Now())
					if err != nil {
						t.Fatal(err)
					}
					if r.Level != attest.LevelSNP || len(e.Endorsements) != 1 {
						t.Errorf("got %s with %d endorsements", r.Level, len(e.Endorsements))
					}
				})
			}
		}
	}
}

// TestProducedSNPOldReport: a report of version 2 does not name its processor.
func TestProducedSNPOldReport(t *testing.T) {
	c := genoa.make(t, false)
	client := configfs("sev_guest", nil, func(data [64]byte) []byte { return c.evidence(t, data, version(2)).Report })
	var asked atomic.Int32
	e, claims, ch, err := produce(t, tsm.Config{Type: attest.SEVSNP, Client: client}, collateral.Config{KDS: amdService(t, c, &asked)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Evidence([]attest.Evidence{e}, claims, ch, nil, c.roots(), time.Now()); err != nil {
		t.Error(err)
	}
}

// TestProducedSNPOffline: without a service the list is missing, the chip's
// certificate must not be.
func TestProducedSNPOffline(t *testing.T) {
	c := milan.make(t, false)
	report := func(data [64]byte) []byte { return c.evidence(t, data, nil).Report }
	aux := table(map[string]*x509.Certificate{abi.VcekGUID: c.Vcek})
	e, claims, ch, err := produce(t, tsm.Config{Type: attest.SEVSNP, Client: configfs("sev_guest", aux, report)}, collateral.Config{KDS: collateral.Off})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Evidence([]attest.Evidence{e}, claims, ch, nil, c.roots(), time.Now()); err != nil || len(e.Endorsements) != 0 {
		t.Errorf("got %v with %d endorsements", err, len(e.Endorsements))
	}
	v := milan.make(t, true)
	for name, cfg := range map[string]tsm.Config{
		"no table": {Type: attest.SEVSNP, Client: configfs("sev_guest", nil, report)},
		"no table, loaded key": {Type: attest.SEVSNP, Client: configfs("sev_guest", nil, func(data [64]byte) []byte {
			return v.evidence(t, data, nil).Report
		})},
		"masked chip": {Type: attest.SEVSNP, Client: configfs("sev_guest", nil, func(data [64]byte) []byte {
			return c.evidence(t, data, func(r []byte) { clear(r[atChipID:][:64]) }).Report
		})},
		"unknown processor": {Type: attest.SEVSNP, Client: configfs("sev_guest", nil, func(data [64]byte) []byte {
			return c.evidence(t, data, func(r []byte) { r[atProcessor] = 0x77 }).Report
		})},
	} {
		if _, _, _, err := produce(t, cfg, collateral.Config{KDS: collateral.Off}); status.ReasonOf(err) != "collateral.absent" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// intelService serves what Intel's service has for one platform; hexLists makes it a cache.
func intelService(t *testing.T, m *attesttest.TDX, hexLists bool, asked *atomic.Int32) string {
	pieces := map[attest.Kind]attest.Endorsement{}
	for _, x := range m.Collateral(t, nil) {
		pieces[x.Kind] = x
	}
	chain := func(x attest.Endorsement) string {
		var text []byte
		for _, der := range x.Chain {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		return url.QueryEscape(string(text))
	}
	list := func(b []byte) []byte {
		if hexLists {
			return []byte(hex.EncodeToString(b))
		}
		return b
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.RequestURI() {
		case "/tdx/certification/v4/tcb?fmspc=" + hex.EncodeToString(m.Platform.FMSPC[:]):
			w.Header().Set("TCB-Info-Issuer-Chain", chain(pieces[attest.TDXTCBInfo]))
			_, _ = w.Write(pieces[attest.TDXTCBInfo].Body)
		case "/tdx/certification/v4/qe/identity":
			w.Header().Set("SGX-Enclave-Identity-Issuer-Chain", chain(pieces[attest.TDXQEIdentity]))
			_, _ = w.Write(pieces[attest.TDXQEIdentity].Body)
		case "/sgx/certification/v4/rootcacrl":
			_, _ = w.Write(list(pieces[attest.TDXRootCRL].Body))
		case "/sgx/certification/v4/pckcrl?ca=platform&encoding=der":
			_, _ = w.Write(list(pieces[attest.TDXPCKCRL].Body))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestProducedTDX(t *testing.T) {
	m := attesttest.NewTDX(t, time.Now(), nil)
	ccel := filepath.Join(t.TempDir(), "CCEL")
	if err := os.WriteFile(ccel, []byte("a log"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var asked atomic.Int32
	service := intelService(t, m, false, &asked)
	for name, tt := range map[string]struct {
		change func(*attesttest.TDXQuote)
		source collateral.Config
	}{
		"version 4": {nil, collateral.Config{PCS: service + "/", Dir: dir}},
		"version 5": {func(q *attesttest.TDXQuote) { q.V5() }, collateral.Config{PCS: service}},
		"a cache":   {nil, collateral.Config{PCS: intelService(t, m, true, &asked)}},
	} {
		t.Run(name, func(t *testing.T) {
			client := configfs("tdx_guest", nil, func(data [64]byte) []byte {
				// As the guest driver gives it: in a buffer that is larger.
				return append(m.Quote(t, data, tt.change), make([]byte, 3000)...)
			})
			e, claims, ch, err := produce(t, tsm.Config{Type: attest.TDX, Client: client, BootLog: ccel}, tt.source)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.BootLog, []byte("a log")) {
				t.Errorf("got boot log %q", e.BootLog)
			}
			e.BootLog = nil // what it says is for another test
			r, err := Evidence([]attest.Evidence{e}, claims, ch, nil, TrustTDX(m.Root), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if r.Level != attest.LevelTDX || r.TDX.TCBStatus != "UpToDate" {
				t.Errorf("got %s, %s", r.Level, r.TDX.TCBStatus)
			}
		})
	}
	// What was kept serves while nothing answers, and in a provider that never asks.
	client := configfs("tdx_guest", nil, func(data [64]byte) []byte { return m.Quote(t, data, nil) })
	for _, source := range []collateral.Config{{PCS: collateral.Off, Dir: dir}, {PCS: "http://127.0.0.1:1", Dir: dir}} {
		e, claims, ch, err := produce(t, tsm.Config{Type: attest.TDX, Client: client}, source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Evidence([]attest.Evidence{e}, claims, ch, nil, TrustTDX(m.Root), time.Now()); err != nil {
			t.Error(err)
		}
	}
	for _, source := range []collateral.Config{{PCS: collateral.Off}, {PCS: "http://127.0.0.1:1"}} {
		_, _, _, err := produce(t, tsm.Config{Type: attest.TDX, Client: client}, source)
		if status.ReasonOf(err) != "collateral.absent" || !strings.Contains(err.Error(), "TCB info") {
			t.Errorf("got %v", err)
		}
	}
}

// guest is an SEV-SNP guest's device file.
type guest struct {
	c     *chip
	t     *testing.T
	table []byte
}

// TestProducedByGuestFile: where a kernel has the device file alone.
func TestProducedByGuestFile(t *testing.T) {
	c := milan.make(t, false)
	aux := table(map[string]*x509.Certificate{abi.VcekGUID: c.Vcek, abi.AskGUID: c.Ask, abi.ArkGUID: c.Ark})
	for _, given := range [][]byte{aux, nil} {
		var asked atomic.Int32
		e, claims, ch, err := produce(t, tsm.Config{Type: attest.SEVSNP, Guest: guest{c, t, given}}, collateral.Config{KDS: amdService(t, c, &asked)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Evidence([]attest.Evidence{e}, claims, ch, nil, c.roots(), time.Now()); err != nil {
			t.Error(err)
		}
	}
}

func (guest) Open(string) error        { return nil }
func (guest) Close() error             { return nil }
func (guest) Product() *spb.SevProduct { return nil }

// Ioctl refuses extended reports where the host has no certificates.
func (g guest) Ioctl(command uintptr, argument any) (uintptr, error) {
	req := argument.(*linuxabi.SnpUserGuestRequest)
	resp := req.RespData.(*linuxabi.SnpReportRespABI)
	switch in := req.ReqData.(type) {
	case *linuxabi.SnpExtendedReportReq:
		if g.table == nil {
			return 0, errors.New("input/output error")
		}
		copy(in.Certs, g.table)
		copy(resp.Data[:], g.c.evidence(g.t, in.Data.ReportData, nil).Report)
	case *linuxabi.SnpReportReqABI:
		copy(resp.Data[:], g.c.evidence(g.t, in.ReportData, nil).Report)
	default:
		return 0, fmt.Errorf("command %x", command)
	}
	return 0, nil
}
