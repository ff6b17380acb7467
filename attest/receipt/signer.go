package receipt

import (
	"encoding/json"

	"apocryph/proto/status"
)

// SignerOf returns the key id that an envelope names, for who has several keys
// to try. It proves nothing and is a stranger's text of any form; [Open] with the
// key is what shows who signed.
func SignerOf(b []byte) (string, error) {
	if _, _, err := open(b); err != nil {
		return "", err
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return "", status.Wrap(err, status.InvalidArgument, "receipt.parse", "the receipt is not a DSSE envelope with one signature")
	}
	return e.Signatures[0].KeyID, nil
}
