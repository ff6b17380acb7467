package mesh

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// line is a TCP connection's way to a node, which stands still once so many
// bytes went up it, as when a machine at its end freezes.
type line struct {
	// addr leads over the line, held is closed when it stands still.
	addr string
	held chan struct{}
	// cut ends it.
	cut func()
}

func newLine(t *testing.T, to string, most int64) *line {
	t.Helper()
	at, id, ok := strings.Cut(to, "/p2p/")
	if !ok {
		t.Fatalf("%s names no peer", to)
	}
	far, err := multiaddr.NewMultiaddr(at)
	must(t, err)
	_, dial, err := manet.DialArgs(far)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	near, err := manet.FromNetAddr(l.Addr())
	must(t, err)
	out := &line{addr: near.String() + "/p2p/" + id, held: make(chan struct{})}

	var mu sync.Mutex // guards conns
	var conns []net.Conn
	var wg sync.WaitGroup
	hold := sync.OnceFunc(func() { close(out.held) })
	out.cut = sync.OnceFunc(func() {
		must(t, l.Close())
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(out.cut)
	wg.Go(func() {
		for {
			up, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			down, dialErr := net.Dial("tcp", dial)
			if err != nil || dialErr != nil {
				t.Errorf("the line: %v", errors.Join(err, dialErr))
				return
			}
			mu.Lock()
			conns = append(conns, up, down)
			mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(up, down) })
			wg.Go(func() {
				if n, _ := io.CopyN(down, up, most); n == most {
					hold()
				}
			})
		}
	})
	return out
}
