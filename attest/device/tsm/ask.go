package tsm

import (
	"errors"
	"strings"

	"github.com/google/go-configfs-tsm/report"
	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/client"
	"github.com/google/go-sev-guest/client/linuxabi"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	// reportTries bounds how often a report is asked for again because somebody
	// else wrote into the request.
	reportTries = 4
	// tableSize is in bytes: what the kernel accepts for the host's certificates
	// (SEV_FW_BLOB_MAX_SIZE).
	tableSize = 16 << 10
)

// The names by which configfs-tsm calls the platforms.
const (
	providerSNP = "sev_guest"
	providerTDX = "tdx_guest"
)

// Guest is the device file of an SEV-SNP guest.
type Guest = client.Device

// OpenGuest opens an SEV-SNP guest's device file.
func OpenGuest(path string) (Guest, error) {
	d := new(client.LinuxDevice)
	if err := d.Open(path); err != nil {
		return nil, status.Wrap(err, status.Unavailable, "tsm.guest", "the SEV-SNP guest device cannot be opened").
			WithHint("the provider must run as root, and alone have %s", path)
	}
	return d, nil
}

// raw is what the platform gave: a report, possibly in a larger buffer, and the
// host's table of certificates.
type raw struct{ report, table []byte }

// ask gets a report over 64 bytes. The caller has the turn.
func (d *Device) ask(data [64]byte) (raw, error) {
	if d.cfg.Client == nil {
		return d.askGuest(data)
	}
	var err error
	for range reportTries {
		var got raw
		if got, err = d.askConfigfs(data, d.cfg.Type == attest.SEVSNP); err == nil {
			return got, nil
		}
		if report.GetGenerationErr(err) == nil {
			break
		}
	}
	var s *status.Error
	if report.GetGenerationErr(err) != nil {
		return raw{}, status.Wrap(err, status.Unavailable, "tsm.contended", "another process wrote into each of %d requests", reportTries).
			WithHint("find out who else uses the directory of reports: only root can")
	}
	if d.cfg.Type == attest.SEVSNP && !errors.As(err, &s) {
		// A host that has no certificates to give lets some kernels fail here.
		if got, again := d.askConfigfs(data, false); again == nil {
			return got, nil
		}
	}
	return raw{}, err
}

func (d *Device) askConfigfs(data [64]byte, table bool) (raw, error) {
	req := &report.Request{InBlob: data[:], GetAuxBlob: table}
	want := providerTDX
	if d.cfg.Type == attest.SEVSNP {
		want, req.Privilege = providerSNP, &report.Privilege{Level: d.cfg.VMPL}
	}
	got, err := report.Get(d.cfg.Client, req)
	if err != nil {
		return raw{}, err
	}
	if name := strings.TrimSpace(got.Provider); name != want {
		return raw{}, status.New(status.Unavailable, "tsm.provider", "the platform is %.32q, want %q", name, want).
			WithHint("choose the --tee that this machine has; `provider doctor` names it")
	}
	return raw{got.OutBlob, got.AuxBlob}, nil
}

// askGuest asks for a report along with certificates and, where the host's do
// not fit or do not exist, for the report alone.
func (d *Device) askGuest(data [64]byte) (raw, error) {
	var resp linuxabi.SnpReportRespABI
	want := linuxabi.SnpReportReqABI{ReportData: data, Vmpl: uint32(d.cfg.VMPL)}
	extended := &linuxabi.SnpExtendedReportReq{Data: want, Certs: make([]byte, tableSize), CertsLength: tableSize}
	err := d.ioctl(linuxabi.IocSnpGetExtendedReport, &linuxabi.SnpUserGuestRequest{ReqData: extended, RespData: &resp})
	if err == nil {
		return raw{resp.Data[:abi.ReportSize], extended.Certs}, nil
	}
	resp = linuxabi.SnpReportRespABI{}
	if again := d.ioctl(linuxabi.IocSnpGetReport, &linuxabi.SnpUserGuestRequest{ReqData: &want, RespData: &resp}); again != nil {
		return raw{}, errors.Join(again, err)
	}
	return raw{report: resp.Data[:abi.ReportSize]}, nil
}

func (d *Device) ioctl(command uintptr, req *linuxabi.SnpUserGuestRequest) error {
	result, err := d.cfg.Guest.Ioctl(command, req)
	if err == nil && result != uintptr(linuxabi.EsOk) {
		err = &linuxabi.SevEsErr{Result: linuxabi.EsResult(result)}
	}
	return err
}
