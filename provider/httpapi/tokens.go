package httpapi

import (
	"net/http"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// newToken is the body of POST /api/v1/tokens.
type newToken struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	// Expires is how long it lasts, such as "720h"; at most a year.
	Expires string `json:"expires"`
}

// token is a local token as it is shown.
type token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	ExpiresAt time.Time `json:"expires_at"`
	// LastUsedAt is absent before the first use, and exact to ten minutes.
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	// Token is the secret. It is in the answer to its making, and nowhere else.
	Token string `json:"token,omitempty"`
}

type tokens struct {
	Data []token `json:"data"`
}

func tokenView(t auth.Token) token {
	v := token{ID: t.ID, Name: t.Name, Scopes: []string{}, CreatedAt: t.Created, CreatedBy: t.CreatedBy, ExpiresAt: t.Expires}
	for _, s := range t.Scopes {
		v.Scopes = append(v.Scopes, s.String())
	}
	if !t.LastUsed.IsZero() {
		v.LastUsedAt = &t.LastUsed
	}
	return v
}

// createToken is no call that is replayed: an answer with a secret is not kept.
func (c *call) createToken() error {
	var in newToken
	if err := c.decode(&in); err != nil {
		return err
	}
	var faults []status.Fault
	ttl, err := time.ParseDuration(in.Expires)
	if err != nil {
		faults = append(faults, status.Fault{Field: "/expires", Got: brief(in.Expires), Want: "a time to last, such as 720h"})
	}
	var scopes []auth.Scope
	for _, text := range in.Scopes {
		s, err := auth.ParseScope(text)
		if err != nil {
			faults = append(faults, status.Fault{Field: "/scopes", Got: brief(text), Want: "deploy:NAMESPACE, read:NAMESPACE or operator"})
			continue
		}
		scopes = append(scopes, s)
	}
	if len(faults) > 0 {
		return status.Invalid("auth.token_invalid", "the token", faults)
	}
	secret, t, err := c.api.auth.Issue(c.ctx(), c.caller, in.Name, scopes, ttl)
	if err != nil {
		return err
	}
	v := tokenView(t)
	v.Token = secret
	c.w.Header().Set("Location", "/api/v1/tokens/"+t.ID)
	return c.json(http.StatusCreated, v)
}

func (c *call) listTokens() error {
	all, err := c.api.auth.List(c.ctx(), c.caller)
	if err != nil {
		return err
	}
	out := tokens{Data: []token{}}
	for _, t := range all {
		out.Data = append(out.Data, tokenView(t))
	}
	return c.json(http.StatusOK, out)
}

func (c *call) revokeToken() error {
	if err := c.api.auth.Revoke(c.ctx(), c.caller, c.r.PathValue("id")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
