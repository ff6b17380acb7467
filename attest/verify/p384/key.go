package p384

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"errors"
	"math/big"

	"github.com/cloudflare/circl/ecc/p384"
)

// size of a coordinate and of a scalar, in bytes.
const size = 48

// Key is a public key. The zero value accepts no signature. It is not changed
// after [NewKey] and may be used from several goroutines.
type Key struct{ x, y *big.Int }

// NewKey takes a key on P-384. Anything else, such as another curve, a point
// that is not on it or the point at infinity, is an error.
func NewKey(key *ecdsa.PublicKey) (Key, error) {
	if key == nil || key.Curve != elliptic.P384() {
		return Key{}, errors.New("not a key on P-384")
	}
	// Checks that the point is on the curve, with coordinates below the prime.
	point, err := key.Bytes()
	if err != nil {
		return Key{}, err
	}
	return Key{new(big.Int).SetBytes(point[1 : 1+size]), new(big.Int).SetBytes(point[1+size:])}, nil
}

// Verify reports whether r and s are a signature of the digest by the key.
func (k Key) Verify(digest [sha512.Size384]byte, r, s *big.Int) bool {
	n := p384.P384().Params().N
	within := func(v *big.Int) bool { return v != nil && v.Sign() > 0 && v.Cmp(n) < 0 }
	if k.x == nil || !within(r) || !within(s) {
		return false
	}
	// The digest is as long as n, so that no bit of it is cut off.
	w := new(big.Int).ModInverse(s, n)
	u1 := new(big.Int).SetBytes(digest[:])
	u1.Mul(u1, w).Mod(u1, n)
	u2 := w.Mul(w, r)
	u2.Mod(u2, n)
	// The point at infinity is 0, 0, and r is not 0.
	x, _ := p384.P384().CombinedMult(k.x, k.y, u1.Bytes(), u2.Bytes())
	return x.Mod(x, n).Cmp(r) == 0
}
