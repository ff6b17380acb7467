package offer

import (
	"strings"

	"apocryph/proto/status"
)

// Resources that have no price.
const (
	ResourceClass = "runtime-class"
	ResourceModel = "cpu-model"
	// ResourceGPU may be followed by a slash and a vendor.
	ResourceGPU = "gpu"
)

// Short is the refusal of what cannot be offered, with a fault for each such
// resource and the first of them in its reason: resource_exhausted,
// "capacity.RESOURCE". It is nil where all is offered.
func Short(resources []ResourceOffer) error {
	var e *status.Error
	for _, r := range resources {
		if r.Offered {
			continue
		}
		if e == nil {
			e = status.New(status.ResourceExhausted, "capacity."+slug(r.Resource), "not enough %s: %s", r.Resource, r.Reason).
				WithHint("ask for less in the manifest's resources, or choose another provider")
		}
		e.Faults = append(e.Faults, status.Fault{Field: r.Resource, Got: r.Available + " available", Want: r.Requested})
	}
	if e == nil {
		return nil
	}
	return e
}

// Short is the refusal for an offer that falls short, nil for one that does not.
func (o Offer) Short() error {
	if o.Available {
		return nil
	}
	if err := Short(o.Resources); err != nil {
		return err
	}
	return status.New(status.ResourceExhausted, "capacity", "the provider offers all of it and calls it not available")
}

// slug keeps a stranger's words out of reasons, which are stable.
func slug(resource string) string {
	switch resource {
	case ResourceCPU, ResourceMemory, ResourceEphemeral, ResourceVolume, ResourceIP, ResourcePort, ResourceClass, ResourceModel, ResourceGPU:
		return resource
	}
	if strings.HasPrefix(resource, ResourceGPU+"/") {
		return ResourceGPU
	}
	return "unknown"
}
