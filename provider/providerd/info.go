package providerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Info is what a running provider writes to DATA_DIR/provider.json.
type Info struct {
	PeerID  string   `json:"peer_id"`
	Addrs   []string `json:"addrs"`
	Ingress string   `json:"ingress"`
	// IngressTLS is empty where the ingress speaks no TLS.
	IngressTLS string `json:"ingress_tls,omitempty"`
	API        string `json:"api"`
	APISocket  string `json:"api_socket"`
	TEE        string `json:"tee"`
	PID        int    `json:"pid"`
	Version    string `json:"version"`
}

// InfoFile is the name of the file in the data directory.
const InfoFile = "provider.json"

// ReadInfo reads what a running provider wrote.
func ReadInfo(dataDir string) (Info, error) {
	var info Info
	b, err := os.ReadFile(filepath.Join(dataDir, InfoFile))
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(b, &info)
}

// write replaces the file in one step, so that who reads it sees all or nothing.
func (i Info) write(dataDir string) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, InfoFile)
	tmp, err := os.CreateTemp(dataDir, InfoFile+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(tmp.Name()))
	}
	return nil
}
