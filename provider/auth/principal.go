package auth

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"apocryph/proto/status"
)

// The ways in which a principal was authenticated.
const (
	ViaSocket   = "socket"
	ViaToken    = "token"
	ViaJWT      = "jwt"
	ViaSupabase = "supabase"
	ViaNone     = "none"
)

// Principal is an authenticated caller. The zero one may do nothing.
type Principal struct {
	// Subject names the caller, for logs and for who made something; it is
	// never a secret. It begins with its kind, so that no issuer of tokens can
	// name a caller of another kind: "uid:0", "token:ID", "sub:SUBJECT",
	// "supabase:service_role", "anyone".
	Subject string
	// Operator may do everything, also make tokens.
	Operator bool
	// Scopes is what a caller who is not the operator may do; sorted.
	Scopes []Scope
	// Via is one of the Via constants.
	Via string
	// Expires is when the credential ends; zero where it does not.
	Expires time.Time
}

// withScopes gives p its scopes, and the operator's right where one of them says so.
func (p Principal) withScopes(scopes []Scope) Principal {
	p.Scopes = normal(scopes)
	p.Operator = slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.Action == ActionOperate })
	return p
}

// May is nil where p may do a in namespace ns. Otherwise it is
// permission_denied, auth.scope, with what p holds and what it needs.
func (p Principal) May(ns string, a Action) error {
	if a == ActionOperate {
		return p.MustOperate()
	}
	if p.Operator || slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.allows(ns, a) }) {
		return nil
	}
	return p.denied(Scope{Namespace: ns, Action: a})
}

// MustOperate is nil for the operator, and else as [Principal.May].
func (p Principal) MustOperate() error {
	if p.Operator {
		return nil
	}
	return p.denied(Scope{Namespace: Everywhere, Action: ActionOperate})
}

func (p Principal) denied(want Scope) error {
	e := status.New(status.PermissionDenied, "auth.scope", "this caller may not do this")
	e.Faults = []status.Fault{{Field: "scope", Got: p.held(), Want: quote(want.String())}}
	if !want.valid() {
		// The namespace came from a stranger and is none.
		return e
	}
	e.Detail, e.Faults[0].Want = "this caller lacks the scope "+want.String(), want.String()
	return e.WithHint("ask the operator for a token with this scope: provider token create --scope %s --expires 720h", want)
}

// held lists the first few scopes of p.
func (p Principal) held() string {
	const shown = 8
	if len(p.Scopes) == 0 {
		return "no scopes"
	}
	texts := make([]string, min(len(p.Scopes), shown))
	for i := range texts {
		texts[i] = p.Scopes[i].String()
	}
	list := strings.Join(texts, " ")
	if more := len(p.Scopes) - shown; more > 0 {
		list += " and " + strconv.Itoa(more) + " more"
	}
	return list
}
