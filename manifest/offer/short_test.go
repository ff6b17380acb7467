package offer

import (
	"testing"

	"apocryph/proto/status"
)

func TestShort(t *testing.T) {
	if err := Short([]ResourceOffer{{Resource: "cpu", Offered: true}}); err != nil {
		t.Errorf("got %v", err)
	}
	for resource, reason := range map[string]string{
		"cpu": "capacity.cpu", "memory": "capacity.memory", "gpu/nvidia": "capacity.gpu", "gpu": "capacity.gpu", "runtime-class": "capacity.runtime-class",
		"gpux": "capacity.unknown", "what a stranger\nsays": "capacity.unknown", "": "capacity.unknown",
	} {
		err := Short([]ResourceOffer{{Resource: "ip", Offered: true}, {Resource: resource, Requested: "2", Available: "1", Reason: "all is taken"}, {Resource: "port", Requested: "1", Available: "0"}})
		if status.CodeOf(err) != status.ResourceExhausted || status.ReasonOf(err) != reason {
			t.Errorf("%q: got %v (%v)", resource, err, status.ReasonOf(err))
		}
		want := []status.Fault{{Field: resource, Got: "1 available", Want: "2"}, {Field: "port", Got: "0 available", Want: "1"}}
		if got := status.Public(err).Faults; len(got) != 2 || got[1] != want[1] || got[0].Want != "2" {
			t.Errorf("%q: got %v, want %v", resource, got, want)
		}
	}
}
