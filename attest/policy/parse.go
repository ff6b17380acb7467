package policy

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"apocryph/attest"
	"apocryph/proto/status"
)

// MaxSize bounds a policy file, in bytes: a publisher sends its own along to
// be appraised by a provider, who must not be made to build a large tree.
const MaxSize = 256 << 10

// Reasons of the errors that [Parse] returns.
const (
	ReasonInvalid  = "policy.invalid"
	ReasonTooLarge = "policy.too_large"
)

// Parse reads a policy file, at most [MaxSize] bytes of strict YAML: unknown
// and repeated fields, aliases and further documents are faults. Every fault
// is listed at once, with its line. The error is a [status.Error] of class
// invalid_argument.
func Parse(data []byte) (*Policy, error) {
	if len(data) > MaxSize {
		return nil, status.New(status.InvalidArgument, ReasonTooLarge,
			"the policy has %d bytes, at most %d are allowed", len(data), MaxSize)
	}
	root, fault := readTree(data)
	if fault != nil {
		return nil, status.Invalid(ReasonInvalid, "policy", []status.Fault{*fault})
	}
	d := &decoder{lines: map[string]int{}}
	p := d.policy(root)
	p.lines = d.lines
	faults := d.faults
	for _, f := range p.faults() {
		if !covered(f.Field, d.faults) {
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		p.judge((&decoder{lines: map[string]int{}}).policy(root))
		return p, nil
	}
	slices.SortStableFunc(faults, func(a, b status.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return nil, status.Invalid(ReasonInvalid, "policy", faults[:min(len(faults), maxFaults)])
}

// covered reports whether a fault of reading at or above the field already
// explains what validation would say of it.
func covered(field string, faults []status.Fault) bool {
	return slices.ContainsFunc(faults, func(f status.Fault) bool {
		rest, ok := strings.CutPrefix(field, f.Field)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// readTree parses one YAML document. The library panics on some malformed
// input, which then is a fault like any other.
func readTree(data []byte) (root *yaml.Node, fault *status.Fault) {
	defer func() {
		if recover() != nil {
			root, fault = nil, &status.Fault{Field: "policy", Got: "malformed YAML", Want: "a YAML mapping"}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &status.Fault{Field: "policy", Got: "an empty file", Want: "a YAML mapping"}
	case err != nil:
		f := &status.Fault{Field: "policy", Got: printable(err.Error()), Want: "YAML"}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			f.Line, _ = strconv.Atoi(m[1])
		}
		return nil, f
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &status.Fault{Field: "policy", Got: "a second document", Want: "one document", Line: more.Line}
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, &status.Fault{Field: "policy", Got: "something else", Want: "a YAML mapping", Line: doc.Line}
	}
	return doc.Content[0], nil
}

func (d *decoder) policy(n *yaml.Node) *Policy {
	p := &Policy{Freshness: Freshness{MaxAge: DefaultMaxAge}}
	f := d.mapping(n, "", "version", "unverified", "trust", "freshness", "reference", "offer", "storage", "dev", "name", "workload", "transparency", "provenance")
	if v := f["version"]; v != nil {
		p.Version, _ = d.integer(v, "version", 1, maxVersion)
	}
	if v := f["name"]; v != nil {
		p.Name, _ = d.text(v, "name")
	}
	if v := f["workload"]; v != nil {
		p.Workload = d.workload(v)
	}
	if v := f["provenance"]; v != nil {
		p.Provenance = d.provenance(v)
	}
	if v := f["transparency"]; v != nil {
		if r := d.mapping(v, "transparency", "require_inclusion")["require_inclusion"]; r != nil {
			p.Transparency.RequireInclusion = d.boolean(r, "transparency.require_inclusion")
		}
	}
	if v := f["unverified"]; v != nil {
		p.Unverified = d.boolean(v, "unverified")
	}
	if v := f["trust"]; v != nil {
		t := d.mapping(v, "trust", "levels", "ek_roots")
		d.list(t["levels"], "trust.levels", func(n *yaml.Node, path string) {
			// What cannot be read keeps its place, so that later faults name the right element.
			s, _ := d.text(n, path)
			p.Trust.Levels = append(p.Trust.Levels, attest.Level(s))
		})
		p.Trust.EKRoots = d.fingerprints(t["ek_roots"], "trust.ek_roots")
	}
	if v := f["freshness"]; v != nil {
		if a := d.mapping(v, "freshness", "max_age")["max_age"]; a != nil {
			p.Freshness.MaxAge = d.duration(a, "freshness.max_age")
		}
	}
	d.list(f["reference"], "reference", func(n *yaml.Node, path string) {
		p.Reference = append(p.Reference, d.referenceSet(n, path))
	})
	if v := f["offer"]; v != nil {
		p.Offer = d.offer(v)
	}
	if v := f["storage"]; v != nil {
		if s := d.mapping(v, "storage", "protected")["protected"]; s != nil {
			p.Storage.Protected = d.boolean(s, "storage.protected")
		}
	}
	if v := f["dev"]; v != nil {
		p.Dev.SoftCA = d.fingerprints(d.mapping(v, "dev", "soft_ca")["soft_ca"], "dev.soft_ca")
	}
	return p
}

func (d *decoder) referenceSet(n *yaml.Node, path string) ReferenceSet {
	var s ReferenceSet
	f := d.mapping(n, path, slices.Concat([]string{"name", "tee", "measurement", "chip_ids", "min_tcb", "guest_policy", "vmpl", "pcrs", "ek", "aks", "boot"}, tdxFields, snpFields)...)
	if v := f["name"]; v != nil {
		s.Name, _ = d.text(v, path+".name")
	}
	if v := f["tee"]; v != nil {
		t, _ := d.text(v, path+".tee")
		s.TEE = attest.Type(t)
	}
	s.Measurement = d.values(f["measurement"], path+".measurement", "96 hexadecimal digits")
	s.ChipIDs = d.values(f["chip_ids"], path+".chip_ids", "128 hexadecimal digits")
	if v := f["min_tcb"]; v != nil {
		s.MinTCB = d.tcb(v, path+".min_tcb")
	}
	if v := f["guest_policy"]; v != nil {
		s.GuestPolicy = d.guestPolicy(v, path+".guest_policy")
	}
	if v := f["vmpl"]; v != nil {
		s.VMPL, _ = d.integer(v, path+".vmpl", 0, maxVMPL)
	}
	if v := f["pcrs"]; v != nil {
		s.PCRs = d.pcrs(v, path+".pcrs")
	}
	s.EK = d.fingerprints(f["ek"], path+".ek")
	s.AKs = d.values(f["aks"], path+".aks", "68 hexadecimal digits")
	if v := f["boot"]; v != nil {
		s.Boot = d.boot(v, path+".boot")
	}
	s.SNP = d.snp(f, path)
	s.TDX = d.tdx(f, path)
	return s
}

func (d *decoder) values(n *yaml.Node, path, want string) [][]byte {
	var list [][]byte
	d.list(n, path, func(n *yaml.Node, path string) {
		list = append(list, d.digits(n, path, want))
	})
	return list
}

func (d *decoder) tcb(n *yaml.Node, path string) *TCB {
	var t TCB
	f := d.mapping(n, path, "fmc", "bootloader", "tee", "snp", "microcode")
	part := func(name string) uint8 {
		if f[name] == nil {
			return 0
		}
		i, _ := d.integer(f[name], path+"."+name, 0, 255)
		return uint8(i)
	}
	t.FMC, t.Bootloader, t.TEE, t.SNP, t.Microcode = part("fmc"), part("bootloader"), part("tee"), part("snp"), part("microcode")
	return &t
}

func (d *decoder) pcrs(n *yaml.Node, path string) *PCRs {
	q := &PCRs{}
	f := d.mapping(n, path, "bank", "values")
	if v := f["bank"]; v != nil {
		q.Bank, _ = d.text(v, path+".bank")
	}
	if v := f["values"]; v != nil {
		q.Values = d.registers(v, path+".values", maxPCR, "hexadecimal digits")
	}
	return q
}

// registers reads the accepted values of registers by number.
func (d *decoder) registers(n *yaml.Node, path string, last int, want string) map[uint32][][]byte {
	list := map[uint32][][]byte{}
	d.entries(n, path, func(key, value *yaml.Node) {
		at := path + "." + key.Value
		if i, ok := d.integer(key, printable(at), 0, last); ok {
			list[uint32(i)] = append(list[uint32(i)], d.values(value, at, want)...)
		}
	})
	return list
}

func (d *decoder) offer(n *yaml.Node) *Offer {
	var o Offer
	f := d.mapping(n, "offer", "max_price_per_hour", "asset")
	if v := f["max_price_per_hour"]; v != nil {
		o.MaxPricePerHour, _ = d.text(v, "offer.max_price_per_hour")
	}
	if v := f["asset"]; v != nil {
		o.Asset, _ = d.text(v, "offer.asset")
	}
	return &o
}
