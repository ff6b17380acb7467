package auth

import "context"

// WithPeer is a request's context as ConnContext leaves it for a caller of this uid.
func WithPeer(ctx context.Context, uid uint32, err error) context.Context {
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}
