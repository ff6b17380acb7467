package public

import (
	"net/netip"
	"testing"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"140.82.112.3": true, "2606:50c0::1": true, "::ffff:140.82.112.3": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.1.1": false,
		"0.0.0.0": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false, "192.0.0.8": false, "241.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "2001::1": false,
	} {
		if got := Address(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
	if Address(netip.Addr{}) {
		t.Error("no address is public")
	}
}
