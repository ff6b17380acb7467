//go:debug rsa1024min=0

package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"apocryph/provider/auth"
)

func TestHeader(t *testing.T) {
	i := newIssuer(t)
	a := newAuth(t, i.plain(&clock{now: start}))
	key := ec("k")
	token := key.sign(t, good())
	for name, tt := range map[string]struct {
		headers []string
		reason  string
	}{
		"none":              {nil, "auth.missing"},
		"empty":             {[]string{""}, "auth.malformed"},
		"scheme alone":      {[]string{"Bearer"}, "auth.malformed"},
		"scheme and blank":  {[]string{"Bearer "}, "auth.malformed"},
		"token alone":       {[]string{token}, "auth.malformed"},
		"basic":             {[]string{"Basic dTpw"}, "auth.malformed"},
		"basic, good token": {[]string{"Basic " + token}, "auth.malformed"},
		"two headers":       {[]string{"Bearer " + token, "Bearer " + token}, "auth.malformed"},
		"two in one":        {[]string{"Bearer " + token + ", Bearer " + token}, "auth.malformed"},
		"two tokens":        {[]string{"Bearer " + token + " " + token}, "auth.malformed"},
		"quoted":            {[]string{`Bearer "` + token + `"`}, "auth.malformed"},
		"tab":               {[]string{"Bearer\t" + token}, "auth.malformed"},
		"line break":        {[]string{"Bearer " + token + "\n"}, "auth.malformed"},
		"nul":               {[]string{"Bearer " + token + "\x00"}, "auth.malformed"},
		"padding alone":     {[]string{"Bearer ===="}, "auth.malformed"},
		"too long":          {[]string{"Bearer " + strings.Repeat("a", 8<<10+1)}, "auth.malformed"},
		"one part":          {[]string{"Bearer abc"}, "auth.malformed"},
		"two parts":         {[]string{"Bearer abc.def"}, "auth.malformed"},
		"four parts":        {[]string{"Bearer " + token + ".e30"}, "auth.malformed"},
		"empty parts":       {[]string{"Bearer .."}, "auth.algorithm"},
		"no base64":         {[]string{"Bearer a.b.c"}, "auth.malformed"},
		"encrypted":         {[]string{"Bearer a.b.c.d.e"}, "auth.malformed"},
		"unknown signature": {[]string{"bearer " + token}, "auth.key"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Authenticate(t.Context(), request(tt.headers...))
			wantErr(t, err, tt.reason)
			if p.Operator || len(p.Scopes) > 0 || p.Subject != "" {
				t.Errorf("an error came with %+v", p)
			}
		})
	}
}

// TestTooLong shows that the bound is on the token and not on what is in it.
func TestTooLong(t *testing.T) {
	key := ec("k")
	a := newAuth(t, newIssuer(t, key.jwk()).plain(&clock{now: start}))
	for n, reason := range map[int]string{5000: "", 7000: "auth.malformed"} {
		_, err := call(a, key.sign(t, with(good(), map[string]any{"pad": strings.Repeat("x", n)})))
		wantErr(t, err, reason)
	}
}

func TestClaims(t *testing.T) {
	keys := map[string]signer{"ES256": ec("a"), "EdDSA": ed("b"), "RS256": big()}
	i := newIssuer(t, keys["ES256"].jwk(), keys["EdDSA"].jwk(), keys["RS256"].jwk())
	a := newAuth(t, i.plain(&clock{now: start}))
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	tests := map[string]struct {
		change map[string]any
		reason string
		scopes string
	}{
		"good":                   {nil, "", "deploy:team-a read:team-b"},
		"many audiences":         {map[string]any{"aud": []string{"x", aud}}, "", "deploy:team-a read:team-b"},
		"no scopes":              {map[string]any{"scope": nil}, "", ""},
		"foreign scopes":         {map[string]any{"scope": "openid deploy: deploy:A read:a:b operator:*"}, "", ""},
		"scope of another shape": {map[string]any{"scope": []string{"operator"}}, "", ""},
		"own scopes":             {map[string]any{"apocryph_scopes": []string{"read:x"}}, "", "read:x"},
		"own scopes, none":       {map[string]any{"apocryph_scopes": []string{}}, "", ""},
		"operator":               {map[string]any{"scope": "operator"}, "", "operator"},
		"own scopes, foreign":    {map[string]any{"apocryph_scopes": []string{"read:x", "openid"}}, "auth.claims", ""},
		"own scopes, many":       {map[string]any{"apocryph_scopes": slices.Repeat([]string{"read:x"}, 65)}, "auth.claims", ""},
		"own scopes, a string":   {map[string]any{"apocryph_scopes": "operator"}, "auth.claims", ""},
		"role means nothing":     {map[string]any{"role": "service_role", "scope": nil}, "", ""},
		"role without subject":   {map[string]any{"role": "service_role", "sub": nil}, "auth.claims", ""},
		"within skew":            {map[string]any{"exp": at(-29 * time.Second)}, "", "deploy:team-a read:team-b"},
		"expired":                {map[string]any{"exp": at(-30 * time.Second)}, "auth.expired", ""},
		"expired long ago":       {map[string]any{"exp": 0}, "auth.expired", ""},
		"no expiry":              {map[string]any{"exp": nil}, "auth.claims", ""},
		"expiry is text":         {map[string]any{"exp": "2030-01-01"}, "auth.claims", ""},
		"expiry beyond dates":    {map[string]any{"exp": 253402300800}, "auth.claims", ""},
		"expiry wraps":           {map[string]any{"exp": 1e300}, "auth.claims", ""},
		"not before, skew":       {map[string]any{"nbf": at(30 * time.Second)}, "", "deploy:team-a read:team-b"},
		"not before":             {map[string]any{"nbf": at(31 * time.Second)}, "auth.not_yet", ""},
		"wrong issuer":           {map[string]any{"iss": iss + "/"}, "auth.issuer", ""},
		"no issuer":              {map[string]any{"iss": nil}, "auth.issuer", ""},
		"issuer in a list":       {map[string]any{"iss": []string{iss}}, "auth.claims", ""},
		"wrong audience":         {map[string]any{"aud": "apocryph2"}, "auth.audience", ""},
		"no audience":            {map[string]any{"aud": nil}, "auth.audience", ""},
		"empty audience":         {map[string]any{"aud": []string{}}, "auth.audience", ""},
		"no subject":             {map[string]any{"sub": nil}, "auth.claims", ""},
		"long subject":           {map[string]any{"sub": strings.Repeat("a", 257)}, "auth.claims", ""},
		"subject of two lines":   {map[string]any{"sub": "a\nlevel=ERROR"}, "auth.claims", ""},
	}
	for name, tt := range tests {
		for alg, key := range keys {
			t.Run(name+"/"+alg, func(t *testing.T) {
				p, err := call(a, key.sign(t, with(good(), tt.change)))
				wantErr(t, err, tt.reason)
				if got := scopeTexts(p); got != tt.scopes {
					t.Errorf("scopes %q, want %q", got, tt.scopes)
				}
				if p.Operator != (tt.scopes == "operator") {
					t.Errorf("operator %t", p.Operator)
				}
				if tt.reason == "" && (p.Subject != "sub:alice" || p.Via != auth.ViaJWT || p.Expires.IsZero()) {
					t.Errorf("got %+v", p)
				}
			})
		}
	}
	if n := i.keyFetches.Load(); n != 1 {
		t.Errorf("%d fetches of the keys", n)
	}
}

func TestManyScopes(t *testing.T) {
	key := ec("k")
	a := newAuth(t, newIssuer(t, key.jwk()).plain(&clock{now: start}))
	var words []string
	for n := range 70 {
		words = append(words, fmt.Sprint("read:n", n))
	}
	p, err := call(a, key.sign(t, with(good(), map[string]any{"scope": strings.Join(words, " ")})))
	if wantErr(t, err, ""); len(p.Scopes) != 64 {
		t.Errorf("%d scopes", len(p.Scopes))
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// TestForgeries has tokens whose claims are all right and whose proof is not.
func TestForgeries(t *testing.T) {
	key, other := ec("k"), ec("k")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := rsaKey("weak", 1024)
	i := newIssuer(t, key.jwk(), big().jwk(), weak.jwk(), jose.JSONWebKey{Key: p384.Public(), KeyID: "p384"})
	der, err := x509.MarshalPKIXPublicKey(key.priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, err := json.Marshal(key.jwk())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	payload := base64.RawURLEncoding.EncodeToString(body)
	header := map[jose.HeaderKey]any{"kid": "k"}
	right := key.sign(t, good())
	parts := strings.Split(right, ".")
	forged := map[string]struct{ token, jwks, hs256 string }{
		"alg none":               {b64(`{"alg":"none","kid":"k"}`) + "." + payload + ".", "auth.algorithm", "auth.algorithm"},
		"alg None":               {b64(`{"alg":"None","kid":"k"}`) + "." + payload + ".", "auth.algorithm", "auth.algorithm"},
		"no alg":                 {b64(`{"kid":"k"}`) + "." + payload + "." + parts[2], "auth.algorithm", "auth.algorithm"},
		"alg twice":              {b64(`{"alg":"none","alg":"ES256","kid":"k"}`) + "." + payload + "." + parts[2], "auth.malformed", "auth.malformed"},
		"public key, PEM":        {signWith(t, jose.HS256, pemKey, header, good()), "auth.algorithm", "auth.signature"},
		"public key, DER":        {signWith(t, jose.HS256, der, header, good()), "auth.algorithm", "auth.signature"},
		"public key, JWK":        {signWith(t, jose.HS256, jwk, header, good()), "auth.algorithm", "auth.signature"},
		"HS512":                  {signWith(t, jose.HS512, []byte(strings.Repeat("s", 64)), header, good()), "auth.algorithm", "auth.algorithm"},
		"ES384":                  {signWith(t, jose.ES384, p384, map[jose.HeaderKey]any{"kid": "p384"}, good()), "auth.algorithm", "auth.algorithm"},
		"PS256":                  {signWith(t, jose.PS256, big().priv, map[jose.HeaderKey]any{"kid": "rsa"}, good()), "auth.algorithm", "auth.algorithm"},
		"another's key":          {other.sign(t, good()), "auth.signature", "auth.signature"},
		"RSA of 1024 bits":       {weak.sign(t, good()), "auth.key", "auth.key"},
		"key of another alg":     {signWith(t, jose.RS256, big().priv, header, good()), "auth.key", "auth.key"},
		"no signature":           {parts[0] + "." + parts[1] + ".", "auth.signature", "auth.signature"},
		"another's payload":      {parts[0] + "." + b64(`{"sub":"root"}`) + "." + parts[2], "auth.signature", "auth.signature"},
		"payload is no JSON":     {signText(t, key, "hello"), "auth.claims", "auth.claims"},
		"claim twice":            {signText(t, key, string(body[:len(body)-1])+`,"scope":"operator"}`), "auth.claims", "auth.claims"},
		"payload is a list":      {signText(t, key, "[]"), "auth.claims", "auth.claims"},
		"type of a logout":       {signWith(t, jose.ES256, key.priv, map[jose.HeaderKey]any{"kid": "k", "typ": "logout+jwt"}, good()), "auth.malformed", "auth.malformed"},
		"critical extension":     {signWith(t, jose.ES256, key.priv, map[jose.HeaderKey]any{"kid": "k", "crit": []string{"exp"}, "exp": 1}, good()), "auth.claims", "auth.claims"},
		"own key in the header":  {signWith(t, jose.ES256, other.priv, map[jose.HeaderKey]any{"kid": "k", "jwk": other.jwk()}, good()), "auth.signature", "auth.signature"},
		"own URL in the header":  {signWith(t, jose.ES256, other.priv, map[jose.HeaderKey]any{"kid": "x", "jku": i.URL}, good()), "auth.key", "auth.key"},
		"two keys, no key id":    {signWith(t, jose.ES256, other.priv, nil, good()), "auth.signature", "auth.signature"},
		"the right one, at last": {right, "", ""},
	}
	c := &clock{now: start}
	onlyKeys := newAuth(t, i.plain(c))
	cfg := i.plain(c)
	cfg.HS256Secret = []byte(strings.Repeat("s", 32))
	both := newAuth(t, cfg)
	for name, tt := range forged {
		t.Run(name, func(t *testing.T) {
			_, err := call(onlyKeys, tt.token)
			wantErr(t, err, tt.jwks)
			_, err = call(both, tt.token)
			wantErr(t, err, tt.hs256)
		})
	}
	if _, err := call(both, signWith(t, jose.HS256, cfg.HS256Secret, nil, good())); err != nil {
		t.Errorf("HS256 with the secret: %v", err)
	}
	if _, err := call(onlyKeys, signWith(t, jose.HS256, cfg.HS256Secret, nil, good())); err == nil {
		t.Error("HS256 without a secret is accepted")
	}
}

func signText(t testing.TB, s signer, payload string) string {
	t.Helper()
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.priv}, &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": s.id}})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := js.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	token, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
