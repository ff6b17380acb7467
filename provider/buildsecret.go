package provider

// OpenBuild opens what a publisher sealed for the build of a request, under an
// attestation that [Service.MayBuild] has accepted. The errors are those of
// keyrelease.PrivateKey.OpenBuild.
func (s *Service) OpenBuild(claims [32]byte, request [16]byte, enc, ciphertext []byte) ([]byte, error) {
	return s.keys.hpke.OpenBuild(enc, ciphertext, claims, request)
}
