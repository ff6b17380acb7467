package build

// Material is something that went into an image besides the uploaded files.
type Material struct {
	// Name is for people; URI says where it came from: of a package it is the package
	// URL, of anything else the base image or toolchain.
	Name, URI string
	// Digest by algorithm, hex: "sha256" mostly.
	Digest map[string]string
}

// Package is one package in an image, for the bill of materials.
type Package struct {
	Name, Version string
	// PURL is the package URL (ECMA-427), such as "pkg:pypi/flask@3.0.0".
	PURL string
	// SHA256 is that of the archive it came in, hex; empty where that is unknown.
	SHA256 string
	// License is an SPDX expression; empty where nobody said.
	License string
}
