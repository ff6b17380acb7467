package ingress

import (
	"strings"
	"testing"

	"apocryph/provider"
)

// The ids are those of: printf '12D3KooWA\0shop' | sha256sum | xxd -r -p | base32
func TestHostName(t *testing.T) {
	for _, tc := range []struct{ publisher, name, domain, want string }{
		{"12D3KooWA", "shop", "localhost", "shop-m67ermot.localhost"},
		{"12D3KooWB", "shop", "localhost", "shop-tqkcllzx.localhost"},
		{"12D3KooWA", "shop", "apps.example.org", "shop-m67ermot.apps.example.org"},
	} {
		if got := HostName(provider.PublisherID(tc.publisher), tc.name, tc.domain); got != tc.want {
			t.Errorf("HostName = %s, want %s", got, tc.want)
		}
	}
}

func TestParseHost(t *testing.T) {
	for header, want := range map[string]string{
		"a.localhost":                          "a.localhost",
		"A.LocalHost:8081":                     "a.localhost",
		"a.localhost.":                         "a.localhost",
		"a.localhost.:80":                      "a.localhost",
		"a.localhost:":                         "a.localhost",
		"127.0.0.1:8081":                       "127.0.0.1",
		"[::1]:8081":                           "::1",
		"[::1]":                                "::1",
		"":                                     "",
		".":                                    "",
		"..":                                   "",
		"a..b":                                 "",
		".a":                                   "",
		"a.localhost..":                        "",
		"a b":                                  "",
		"a/b":                                  "",
		"a@b":                                  "",
		"a_b.localhost":                        "",
		"-a.localhost":                         "",
		"a-.localhost":                         "",
		"é.localhost":                          "",
		"a.localhost:80:80":                    "",
		"a.localhost:x":                        "",
		"a.localhost:-1":                       "",
		"a.localhost:123456":                   "",
		"::1":                                  "",
		"[::1":                                 "",
		"[::1]x":                               "",
		"[127.0.0.1]":                          "",
		"[fe80::1%eth0]":                       "",
		"a.localhost\r\nx: y":                  "",
		"a.localhost, b.localhost":             "",
		strings.Repeat("a", 64) + ".localhost": "",
		strings.Repeat("a.", 127) + "aa":       "",
	} {
		got, ok := parseHost(header)
		if ok != (want != "") || ok && got != want {
			t.Errorf("parseHost(%q) = %q, %v, want %q", header, got, ok, want)
		}
	}
}

func TestCustomHostPolicy(t *testing.T) {
	const domain = "apps.example.net"
	for _, tc := range []struct {
		host     string
		patterns []string
		allowed  bool
		invalid  bool
	}{
		{"shop.example.org", []string{"*"}, true, false},
		{"shop.example.org", []string{"shop.example.org"}, true, false},
		{"shop.example.org", []string{"other.org", "*.example.org"}, true, false},
		{"a.b.example.org", []string{"*.example.org"}, true, false},
		{"shop.example.org", nil, false, false},
		{"shop.example.org", []string{"example.org"}, false, false},
		{"example.org", []string{"*.example.org"}, false, false},
		{"badexample.org", []string{"*.example.org"}, false, false},
		{"shop.example.org.evil.net", []string{"*.example.org"}, false, false},
		{"x.apps.example.net", []string{"*"}, false, false},
		{"apps.example.net", []string{"*"}, false, false},
		{"x.localhost", []string{"*"}, false, true},
		{"localhost", []string{"*"}, false, true},
		{"Shop.example.org", []string{"*"}, false, true},
		{"shop", []string{"*"}, false, true},
		{"10.0.0.1", []string{"*"}, false, true},
		{"shop.example.org:80", []string{"*"}, false, true},
		{"shop..org", []string{"*"}, false, true},
		{"*.example.org", []string{"*"}, false, true},
	} {
		want, invalid := hostPolicy{domain, tc.patterns}.refuses(tc.host)
		if (want == "") != tc.allowed || invalid != tc.invalid {
			t.Errorf("%q under %v: got %q invalid %v, want allowed %v invalid %v", tc.host, tc.patterns, want, invalid, tc.allowed, tc.invalid)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"a.localhost:8081", "[::1]:80", "A.B.", "a..b", "x:99999", "[fe80::1%x]", "\x00", "a_b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		host, ok := parseHost(header)
		if !ok {
			return
		}
		if host == "" || len(host) > maxHost || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != "" {
			t.Fatalf("parseHost(%q) = %q", header, host)
		}
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if twice, ok := parseHost(again); !ok || twice != host {
			t.Fatalf("parseHost(%q) = %q, %v, not itself", again, twice, ok)
		}
	})
}
