package policy

// Unchanged reports whether what [Parse] found of the policy still counts.
func (p *Policy) Unchanged() bool { return p.unchanged() }
