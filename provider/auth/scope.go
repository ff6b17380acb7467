package auth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// Action is what a caller wants to do in a namespace.
type Action string

// The actions, weakest first: each of the first two includes those before it in
// its namespace. ActionOperate has no namespace and includes everything.
const (
	ActionRead    Action = "read"
	ActionDeploy  Action = "deploy"
	ActionOperate Action = "operator"
)

// Everywhere is the namespace of a scope that holds in all of them.
const Everywhere = "*"

const (
	// maxNamespace is the length of a DNS label (RFC 1035, 2.3.4), in bytes: a
	// namespace is a part of one, with hyphens for its dots.
	maxNamespace = 63
	// maxScopes bounds the scopes of one principal, so that a check stays cheap.
	maxScopes = 64
	wantScope = `"deploy:NAMESPACE", "read:NAMESPACE" or "operator"; NAMESPACE is DNS labels in lower case, with dots between them, or * for all`
)

// Scope is the right to one action in one namespace, or in all of them.
type Scope struct {
	// Namespace is one or more DNS labels in lower case with dots between them, of at
	// most 63 bytes in all, or [Everywhere].
	Namespace string
	Action    Action
}

// ParseScope reads the text form: "deploy:NAMESPACE", "read:NAMESPACE" or
// "operator". Anything else is invalid_argument, auth.scope_invalid.
func ParseScope(text string) (Scope, error) {
	if text == string(ActionOperate) {
		return Scope{Namespace: Everywhere, Action: ActionOperate}, nil
	}
	action, ns, _ := strings.Cut(text, ":")
	s := Scope{Namespace: ns, Action: Action(action)}
	if s.Action == ActionOperate || !s.valid() {
		return Scope{}, status.Invalid("auth.scope_invalid", "scope", []status.Fault{{Field: "scope", Got: quote(text), Want: wantScope}})
	}
	return s, nil
}

// String is the text form that [ParseScope] reads.
func (s Scope) String() string {
	if s.Action == ActionOperate {
		return string(ActionOperate)
	}
	return string(s.Action) + ":" + s.Namespace
}

// MarshalText makes a scope a string in JSON.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is [ParseScope].
func (s *Scope) UnmarshalText(text []byte) error {
	parsed, err := ParseScope(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

func (s Scope) valid() bool {
	switch s.Action {
	case ActionOperate:
		return s.Namespace == Everywhere
	case ActionRead, ActionDeploy:
		return s.Namespace == Everywhere || isNamespace(s.Namespace)
	}
	return false
}

// allows reports whether s is enough for a in ns. Only a scope for all
// namespaces is enough for all of them.
func (s Scope) allows(ns string, a Action) bool {
	if ns == "" || s.Namespace != ns && s.Namespace != Everywhere {
		return false
	}
	switch a {
	case ActionRead:
		return s.Action == ActionRead || s.Action == ActionDeploy
	case ActionDeploy:
		return s.Action == ActionDeploy
	}
	return false
}

// normal is scopes sorted and without repetition.
func normal(scopes []Scope) []Scope {
	scopes = slices.Clone(scopes)
	slices.SortFunc(scopes, func(a, b Scope) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(string(a.Action), string(b.Action)))
	})
	return slices.Compact(scopes)
}

// isNamespace reports whether s is DNS labels in lower case (RFC 1123, 2.1) with
// dots between them.
func isNamespace(s string) bool {
	if len(s) > maxNamespace {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// quote shows what a caller sent, in printable characters and bounded.
func quote(s string) string {
	const longest = 80
	if len(s) > longest {
		return fmt.Sprintf("%q…", s[:longest])
	}
	return fmt.Sprintf("%q", s)
}
