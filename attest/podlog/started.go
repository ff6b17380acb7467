package podlog

import "apocryph/attest"

// Started is what boot left in the register of the log: what the boot log makes of
// it where one came, zeros elsewhere. Of a value of another length no log follows.
func Started(r *attest.Result) Head {
	var h Head
	if r.TPM != nil && r.TPM.Boot != nil {
		copy(h.SHA256[:], r.TPM.Boot.PodLogStart)
	}
	if r.TDX != nil && r.TDX.Boot != nil {
		copy(h.SHA384[:], r.TDX.Boot.PodLogStart)
	}
	return h
}
