package publisher

import (
	"apocryph/attest/client"
	"apocryph/attest/policy"
)

// ReceiptKeys remembers whose receipts can be believed: the receipt keys that
// affirmed evidence named.
type ReceiptKeys interface {
	RememberKey(client.AttestedKey) error
}

// rememberKey notes the receipt key of a provider that was affirmed. Without it
// only the provider's receipts that come with evidence can be judged.
func (s *Service) rememberKey(a *Attested, p *policy.Policy) {
	k, ok := client.KeyOf(a.Result, a.Verdict, p, s.cfg.Now())
	if !ok {
		return
	}
	if err := s.cfg.Keys.RememberKey(k); err != nil {
		s.log.Warn("a receipt key is not remembered: receipts without evidence cannot be verified", "err", err)
	}
}
