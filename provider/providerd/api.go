package providerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"apocryph/p2p/lifecycle"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/httpapi"
	"apocryph/provider/ingress"
)

// apiHost is the name, below the domain, by which the ingress serves the API
// over TLS.
const apiHost = "api."

// serveAPI serves the HTTP API on every address and socket, and at the ingress.
func (n *Node) serveAPI(ctx context.Context, st *lifecycle.Stack, o parts, svc *provider.Service, d *direct, in *ingress.Ingress) ([]string, error) {
	who, err := n.authenticator(o.db)
	if err != nil {
		return nil, err
	}
	api, err := httpapi.New(httpapi.Config{
		Pods: svc, Apps: d.deploys, Deployments: d.deploys, Artifacts: d.artifacts, Builds: d.builds, Repositories: d.git, Auth: who, Answers: o.db.Documents("answer"),
		Staging: d.staging, Version: n.set.Version, Origins: n.set.APIOrigins, Now: n.set.Now, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	in.Mount(apiHost+n.set.Domain, api)
	var addrs []string
	strangers := newCrowd(maxTCPConns)
	for _, a := range n.set.API {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return nil, fmt.Errorf("serving the API: %w", err)
		}
		addrs = append(addrs, l.Addr().String())
		if err := st.Start(ctx, "API on "+a, nil, serve(strangers.bound(api.Server(), l))); err != nil {
			return nil, err
		}
	}
	for _, path := range n.set.APISockets {
		l, err := listenSocket(path)
		if err != nil {
			return nil, fmt.Errorf("serving the API: %w", err)
		}
		if err := st.Start(ctx, "API on "+path, nil, serve(newCrowd(maxSocketConns).bound(api.Server(), l))); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// listenSocket takes the place of what is at path: a socket that a killed provider
// left cannot be bound again, and the data directory's lock says that nobody
// listens on it. What is no socket is left alone.
func listenSocket(path string) (net.Listener, error) {
	st, err := os.Lstat(path)
	switch {
	case err == nil && st.Mode().Type() != os.ModeSocket:
		return nil, status.New(status.InvalidArgument, "provider.api_socket", "%s is there and no socket", path).WithHint("name another path with --api-socket")
	case err == nil:
		err = os.Remove(path)
	case errors.Is(err, os.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Nobody but the owner connects, even before the kernel is asked who it is.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serve runs a server until its context ends.
func serve(srv *http.Server, l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// Callers that are still at it are cut off.
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}
}
