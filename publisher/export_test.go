package publisher

// ReadSecrets reads the files of a manifest's secret volumes.
var ReadSecrets = readSecrets
