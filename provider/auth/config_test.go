package auth_test

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

func TestConfigFaults(t *testing.T) {
	jwtKey := func(role string) string {
		return signWith(t, jose.HS256, legacy, nil, map[string]any{"role": role, "iss": "supabase"})
	}
	secret := []byte(strings.Repeat("CANARY", 6))
	const project = "https://ref.supabase.co"
	const url, key, hs = auth.EnvSupabaseURL, auth.EnvSupabaseKey, "api-hs256-secret-file"
	for name, tt := range map[string]struct {
		cfg    auth.Config
		faults []string
	}{
		"nothing":              {auth.Config{}, nil},
		"none":                 {auth.Config{None: true}, nil},
		"none with tokens":     {auth.Config{None: true, Tokens: &memory{}}, nil},
		"key set":              {auth.Config{JWKSURL: iss + "/k?v=1", Issuer: iss, Audience: aud}, nil},
		"key set here":         {auth.Config{JWKSURL: "http://[::1]:80/k", Issuer: iss, Audience: aud}, nil},
		"secret":               {auth.Config{HS256Secret: secret, Issuer: iss, Audience: aud}, nil},
		"project":              {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: serviceKey, HS256Secret: secret}, nil},
		"project, older key":   {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: jwtKey("service_role")}, nil},
		"project here":         {auth.Config{SupabaseURL: "http://localhost:54321", SupabaseServiceRoleKey: serviceKey}, nil},
		"key set alone":        {auth.Config{JWKSURL: iss}, []string{"api-audience", "api-issuer"}},
		"issuer alone":         {auth.Config{Issuer: iss}, []string{"api-jwks"}},
		"secret alone":         {auth.Config{HS256Secret: secret}, []string{"api-audience", "api-issuer"}},
		"short secret":         {auth.Config{HS256Secret: secret[:31], Issuer: iss, Audience: aud}, []string{hs}},
		"plain text":           {auth.Config{JWKSURL: "http://issuer.example/k", Issuer: iss, Audience: aud}, []string{"api-jwks"}},
		"file":                 {auth.Config{JWKSURL: "file:///k", Issuer: iss, Audience: aud}, []string{"api-jwks"}},
		"no URL":               {auth.Config{JWKSURL: ":CANARY", Issuer: iss, Audience: aud}, []string{"api-jwks"}},
		"user in the URL":      {auth.Config{JWKSURL: "https://u:CANARY@issuer.example/", Issuer: iss, Audience: aud}, []string{"api-jwks"}},
		"project without key":  {auth.Config{SupabaseURL: project}, []string{key}},
		"key without project":  {auth.Config{SupabaseServiceRoleKey: serviceKey}, []string{url}},
		"project, plain text":  {auth.Config{SupabaseURL: "http://ref.supabase.co", SupabaseServiceRoleKey: serviceKey}, []string{url}},
		"project with a query": {auth.Config{SupabaseURL: project + "?CANARY", SupabaseServiceRoleKey: serviceKey}, []string{url}},
		"publishable key":      {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: "sb_publishable_CANARYCANARYCANARYCANARY"}, []string{key}},
		"anon key":             {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: jwtKey("anon")}, []string{key}},
		"short key":            {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: "CANARY"}, []string{key}},
		"key of two lines":     {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: serviceKey + "\n"}, []string{key}},
		"local token as key":   {auth.Config{SupabaseURL: project, SupabaseServiceRoleKey: "apo_" + strings.Repeat("C", 49)}, []string{key}},
		"two sources":          {auth.Config{JWKSURL: iss, SupabaseURL: project, SupabaseServiceRoleKey: serviceKey}, []string{"api-jwks"}},
		"none and a project":   {auth.Config{None: true, SupabaseURL: project, SupabaseServiceRoleKey: serviceKey}, []string{"api-auth"}},
		"all at once": {auth.Config{
			None: true, JWKSURL: "ftp://CANARY", HS256Secret: []byte("CANARY"), SupabaseURL: "CANARY", SupabaseServiceRoleKey: "CANARY",
		}, []string{url, key, "api-auth", hs, "api-jwks"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := auth.New(tt.cfg)
			want := tt.faults
			if d := cmp.Diff(fieldsOf(want), fieldsOf(faultsOf(err))); d != "" {
				t.Error(d)
			}
			if (err == nil) != (a != nil) || err != nil && status.ReasonOf(err) != "auth.config" {
				t.Errorf("got %v, %v", a, err)
			}
			if strings.Contains(allText(err), "CANARY") {
				t.Errorf("a secret is shown: %s", allText(err))
			}
		})
	}
}

func TestConfigured(t *testing.T) {
	for want, cfgs := range map[bool][]auth.Config{
		false: {{}},
		true: {
			{None: true},
			{Tokens: &memory{}},
			{HS256Secret: legacy, Issuer: iss, Audience: aud},
			{JWKSURL: iss, Issuer: iss, Audience: aud},
			{SupabaseURL: iss, SupabaseServiceRoleKey: serviceKey},
		},
	} {
		for _, cfg := range cfgs {
			if got := newAuth(t, cfg).Configured(); got != want {
				t.Errorf("%+v: configured %t", cfg, got)
			}
		}
	}
	a := newAuth(t, auth.Config{})
	_, err := call(a, serviceKey)
	wantErr(t, err, "auth.unconfigured")
	if text := allText(err); !strings.Contains(text, auth.EnvSupabaseURL) || strings.Contains(text, "CANARY") {
		t.Errorf("got %s", text)
	}
	_, err = call(newAuth(t, auth.Config{Tokens: &memory{}}), ec("k").sign(t, good()))
	wantErr(t, err, "auth.malformed")
}
