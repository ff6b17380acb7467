package receipt

// SignerOf returns the key id that an envelope names, for who has several keys
// to try. It proves nothing and is a stranger's text of any form; [Open] with the
// key is what shows who signed.
func SignerOf(b []byte) (string, error) {
	e, err := open(b)
	return e.KeyID, err
}
