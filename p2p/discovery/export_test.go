package discovery

import "context"

// Announce is the announcing half of [Advertiser.Run].
func Announce(ctx context.Context, a *Advertiser) { a.announce(ctx) }
