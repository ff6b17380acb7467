package offer

import (
	"math/big"
	"slices"
	"strings"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
)

// maxPriceFile bounds the price file, which is the operator's own.
const maxPriceFile = 64 << 10

// maxGPUPrices bounds the GPU models with a price, so that offers stay small.
const maxGPUPrices = 64

type (
	reader = strictyaml.Doc
	node   = strictyaml.Node
)

// rateForm says how a price is written.
const rateForm = "a decimal number per second, hour or month, such as 0.02/hour (a month has 30 days)"

var perWords = map[string]int64{"second": 1, "hour": hourSeconds, "month": monthSeconds}

var priceFileTable = strictyaml.Table[PriceList]{Fields: []strictyaml.Field[PriceList]{
	{Name: "asset", Set: func(d *reader, n node, l *PriceList) {
		s, ok := d.String(n)
		if l.Asset = s; ok && !isAsset(s) {
			d.Refuse(n, n.Shown(), assetForm)
		}
	}},
	{Name: "minimum_charge", Set: func(d *reader, n node, l *PriceList) {
		s, ok := d.Word(n)
		if l.MinimumCharge = s; !ok {
			return
		}
		if _, ok = parseDecimal(s); !ok {
			d.Refuse(n, n.Shown(), "a decimal number such as 0.25")
		}
	}},
	{Name: "payment", Set: func(d *reader, n node, l *PriceList) { paymentTable.Read(d, n, l) }},
	{Name: "prices", Required: true, Set: func(d *reader, n node, l *PriceList) { pricesTable.Read(d, n, l) }},
}}

var paymentTable = strictyaml.Table[PriceList]{Fields: []strictyaml.Field[PriceList]{
	{Name: "schemes", Set: func(d *reader, n node, l *PriceList) {
		for _, e := range d.List(n, maxSchemes) {
			s, ok := d.String(e)
			switch {
			case !ok:
			case s != SchemeNone && s != SchemeEVMChannel:
				d.Refuse(e, e.Shown(), "evm-channel or none")
			case slices.Contains(l.Schemes, s):
				d.Refuse(e, s+" a second time", "it once")
			default:
				l.Schemes = append(l.Schemes, s)
			}
		}
	}},
	{Name: "address", Set: func(d *reader, n node, l *PriceList) {
		s, ok := d.String(n)
		if l.Address = s; ok && !isAccount(s) {
			d.Refuse(n, n.Shown(), accountForm)
		}
	}},
}}

// pricesTable wants cpu and memory always: a price that was forgotten should
// not make a machine free.
var pricesTable = strictyaml.Table[PriceList]{Fields: []strictyaml.Field[PriceList]{
	rateField(ResourceCPU, "core", true),
	rateField(ResourceMemory, "GiB", true),
	rateField(ResourceEphemeral, "GiB", false),
	rateField(ResourceVolume, "GiB", false),
	rateField(ResourceIP, "address", false),
	rateField(ResourcePort, "port", false),
	{Name: "gpu", Set: readGPUPrices},
}}

func rateField(resource, unit string, required bool) strictyaml.Field[PriceList] {
	return strictyaml.Field[PriceList]{
		Name: resource, Required: required,
		Set: func(d *reader, n node, l *PriceList) { l.readRate(d, n, resource, unit) },
	}
}

func (l *PriceList) readRate(d *reader, n node, resource, unit string) {
	s, ok := d.Word(n)
	if !ok {
		return
	}
	amount, per, _ := strings.Cut(s, "/")
	value, ok := parseDecimal(strings.TrimSpace(amount))
	seconds := perWords[strings.TrimSpace(per)]
	if !ok || seconds == 0 {
		d.Refuse(n, n.Shown(), rateForm)
		return
	}
	l.rates = append(l.rates, rate{resource, unit, value.Quo(value, big.NewRat(seconds, 1))})
}

// readGPUPrices reads a mapping of "VENDOR" or "VENDOR/MODEL" to prices.
func readGPUPrices(d *reader, n node, l *PriceList) {
	for _, e := range d.Map(n, maxGPUPrices) {
		vendor, model, named := strings.Cut(e.Key, "/")
		var c checker
		c.matches("", vendor, vendorPattern, "")
		c.text("", model, maxText-len(gpuPrefix)-len(vendor)-1)
		switch {
		case len(c.faults) > 0 || named && model == "":
			d.Refuse(e.Value, strictyaml.Quote(e.Key), "VENDOR or VENDOR/MODEL, such as nvidia or nvidia/H100")
		case l.find(gpuPrefix+e.Key) != nil:
			d.Refuse(e.Value, strictyaml.Quote(e.Key)+" a second time", "it once")
		default:
			l.readRate(d, e.Value, gpuPrefix+e.Key, "GPU")
		}
	}
}

// ParsePriceList reads an operator's price file. Every fault of it is in the
// one error, invalid_argument, prices.invalid, with lines.
func ParsePriceList(data []byte) (PriceList, error) {
	d, root := strictyaml.Parse(data, maxPriceFile)
	var l PriceList
	if len(d.Faults()) == 0 || root.IsMap() {
		fields := priceFileTable.Read(d, root, &l)
		l.check(d, root, fields)
	}
	faults := d.Faults()
	if len(faults) == 0 {
		return l, nil
	}
	out := make([]status.Fault, len(faults))
	for i, f := range faults {
		out[i] = status.Fault(f)
	}
	return PriceList{}, status.Invalid("prices.invalid", "the price list", out)
}

// check is about what one field demands of another.
func (l *PriceList) check(d *reader, root node, fields map[string]node) {
	payment, hasPayment := fields["payment"]
	if !hasPayment {
		payment = root
	}
	if l.Free() {
		if len(l.Schemes) == 0 {
			l.Schemes = []string{SchemeNone}
		}
		return
	}
	if _, given := fields["asset"]; !given {
		d.RefuseField(root, "asset", "nothing", assetForm)
	}
	switch {
	case slices.Contains(l.Schemes, SchemeNone):
		d.Refuse(payment, "scheme none", "evm-channel: a list with prices does not take none")
	case len(l.Schemes) == 0:
		d.Refuse(payment, "no payment scheme", "payment: {schemes: [evm-channel], address: ...}")
	case l.Address == "":
		d.Refuse(payment, "no payment address", accountForm)
	}
}
