package providerd

import (
	"context"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/device/tpm"
	"apocryph/proto/status"
)

// diagnoseBound is what a TPM beside the reports of a kind is good for. It needs no
// certificate there.
func diagnoseBound(cfg Config, kind attest.Type, d Diagnosis) Diagnosis {
	if !hasTPM(cfg.tpmPath()) {
		return d
	}
	err := withTPM(cfg, func(ctx context.Context, t *tpm.Device) error {
		_, err := t.Bound(ctx)
		return err
	})
	if err != nil && status.ReasonOf(err) != "tpm.in_use" {
		d.OK = false
		if d.Do == "" {
			d.Do = "--tpm none goes without"
		}
		return d
	}
	d.OK, d.Do = true, ""
	register := "pod log in PCR 14"
	if kind == attest.TDX {
		register = "pod log in RTMR 3"
	}
	d.Found = fmt.Sprintf("a TPM at %s, bound by the %s report: composite evidence, %s", cfg.tpmPath(), kind, register)
	if cfg.sealsWithTPM(kind) {
		d.Found += ", and it seals the data key: who has the TPM's state can read data at rest"
		d.Do = "make sure that it is inside the guest (a paravisor's or an SVSM's), not the hypervisor's"
	} else if kind == attest.TDX {
		d.Do = "--tpm " + cfg.tpmPath() + " lets it seal the data key, so that data outlives a reboot: only for one inside the guest, not the hypervisor's"
	}
	return d
}
