package keyrelease_test

import (
	"fmt"

	"apocryph/attest/keyrelease"
)

func Example() {
	// The provider makes a key at its start; its public half is in the claims.
	key, err := keyrelease.NewKey(nil)
	if err != nil {
		panic(err)
	}
	claimsDigest, requestID := [32]byte{1}, [16]byte{2}

	// The publisher seals to it once the verdict is good.
	enc, ciphertext, want, err := keyrelease.Seal(key.PublicKey(), claimsDigest, requestID, []byte("secret"))
	if err != nil {
		panic(err)
	}

	// The provider opens it, and answers the confirmation.
	plaintext, confirm, err := key.Open(enc, ciphertext, claimsDigest, requestID)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", plaintext)

	// The publisher knows that it spoke to the holder of the attested key.
	fmt.Println(keyrelease.CheckConfirm(want, confirm))
	// Output:
	// secret
	// <nil>
}
