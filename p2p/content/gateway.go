package content

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2phttp "github.com/libp2p/go-libp2p/p2p/http"
	mh "github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"
)

// gatewayProtocol is how the gateway is listed in the peer's HTTP protocols, as
// other IPFS nodes list theirs.
const gatewayProtocol = "/ipfs/gateway"

const (
	// gatewayRequests bounds the requests that are served at once.
	gatewayRequests = 64
	// gatewayHeader bounds a request's head in bytes.
	gatewayHeader = 16 << 10
	// gatewayIdle bounds the wait for a request, and for a reader that is slow:
	// each costs a stream.
	gatewayIdle = 30 * time.Second
	// gatewayTime bounds one request.
	gatewayTime = time.Hour
)

type peerKey struct{}

// guarded is the view of one HTTP request: the peer is in the context.
type guarded struct{ view }

var _ blockstore.Blockstore = guarded{}

func (g guarded) admit(ctx context.Context, c cid.Cid) error {
	p, ok := ctx.Value(peerKey{}).(peer.ID)
	if !ok || !g.s.access.block(p, c) {
		return format.ErrNotFound{Cid: c}
	}
	return nil
}

// Get implements [blockstore.Blockstore].
func (g guarded) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if err := g.admit(ctx, c); err != nil {
		return nil, err
	}
	return g.view.Get(ctx, c)
}

// GetSize implements [blockstore.Blockstore].
func (g guarded) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if err := g.admit(ctx, c); err != nil {
		return -1, err
	}
	return g.view.GetSize(ctx, c)
}

// Has implements [blockstore.Blockstore].
func (g guarded) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if g.admit(ctx, c) != nil {
		return false, nil
	}
	return g.view.Has(ctx, c)
}

// gatewayHandler is the trustless gateway: raw blocks and CAR, nothing else.
func (s *Store) gatewayHandler() (http.Handler, error) {
	// Identity CIDs carry their own bytes; HTTP clients probe with one.
	bs := blockstore.NewIdStore(guarded{view{s}})
	backend, err := gateway.NewBlocksBackend(blockservice.New(bs, offline.Exchange(bs)))
	if err != nil {
		return nil, err
	}
	gw := gateway.NewHandler(gateway.Config{
		NoDNSLink:             true,
		DisableHTMLErrors:     true,
		RetrievalTimeout:      gatewayIdle,
		MaxRequestDuration:    gatewayTime,
		MaxConcurrentRequests: gatewayRequests,
		MetricsRegistry:       prometheus.NewRegistry(),
	}, backend)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := peer.Decode(r.RemoteAddr)
		if err != nil {
			http.Error(w, "no peer", http.StatusForbidden)
			return
		}
		// The gateway begins a CAR before it reads its first block: it would answer
		// 200 to what is not granted.
		if root, ok := pathRoot(r.URL.Path); !ok || !s.access.block(p, root) && root.Prefix().MhType != mh.IDENTITY {
			http.Error(w, "this content is not here, or not granted to you", http.StatusNotFound)
			return
		}
		gw.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
	}), nil
}

// pathRoot is the CID of a path /ipfs/CID/...
func pathRoot(path string) (cid.Cid, bool) {
	rest, ok := strings.CutPrefix(path, "/ipfs/")
	if !ok {
		return cid.Undef, false
	}
	name, _, _ := strings.Cut(rest, "/")
	c, err := cid.Decode(name)
	return c, err == nil
}

// serveGateway serves HTTP/1.1 on libp2p streams until ctx ends.
func (s *Store) serveGateway(ctx context.Context, l net.Listener) error {
	gw, err := s.gatewayHandler()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	known := &libp2phttp.WellKnownHandler{}
	known.AddProtocolMeta(gatewayProtocol, libp2phttp.ProtocolMeta{Path: "/"})
	mux := http.NewServeMux()
	mux.Handle(libp2phttp.WellKnownProtocols, known)
	mux.Handle("/", gw)
	srv := &http.Server{
		Handler:           oneRequest(mux),
		ReadHeaderTimeout: gatewayIdle,
		ReadTimeout:       gatewayIdle,
		IdleTimeout:       gatewayIdle,
		MaxHeaderBytes:    gatewayHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// oneRequest ends each stream with its response, as HTTP on libp2p does.
func oneRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		next.ServeHTTP(w, r)
	})
}
