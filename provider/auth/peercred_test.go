package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

func TestSocketPrincipal(t *testing.T) {
	own := uint32(os.Geteuid())
	for uid, ok := range map[uint32]bool{0: true, own: true, own + 1: false, 65534: false, 1<<32 - 1: false} {
		if p := auth.SocketPrincipal(uid); p.Operator != ok || p.Subject != fmt.Sprint("uid:", uid) || p.Via != auth.ViaSocket || len(p.Scopes) > 0 {
			t.Errorf("uid %d: %+v", uid, p)
		}
	}
}

// TestSocket goes through a real socket and a real address at once: the same
// server tells its callers apart.
func TestSocket(t *testing.T) {
	a := newAuth(t, auth.Config{})
	s := &http.Server{ConnContext: auth.ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.Authenticate(r.Context(), r)
		fmt.Fprintf(w, "%s %t %s", p.Subject, p.Operator, status.ReasonOf(err))
	})}
	got := map[string]string{}
	for network, addr := range map[string]string{"unix": filepath.Join(t.TempDir(), "s"), "tcp": "127.0.0.1:0"} {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		}}}
		resp, err := c.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		var subject, operator, reason string
		_, _ = fmt.Fscan(resp.Body, &subject, &operator, &reason)
		resp.Body.Close()
		got[network] = subject + " " + operator + reason
	}
	if want := fmt.Sprintf("uid:%d true", os.Geteuid()); got["unix"] != want {
		t.Errorf("the socket's caller is %q, want %q", got["unix"], want)
	}
	// Fscan reads "" false REASON as two words.
	if got["tcp"] != "false auth.unconfigured" {
		t.Errorf("the address's caller is %q", got["tcp"])
	}
}

func TestOtherUsersOfTheSocket(t *testing.T) {
	m := &memory{}
	a := newAuth(t, auth.Config{Tokens: m})
	secret, _, err := a.Issue(t.Context(), operator, "ci", scopes(t, "operator"), auth.MaxTTL)
	if err != nil {
		t.Fatal(err)
	}
	other := uint32(os.Geteuid()) + 1
	for name, tt := range map[string]struct {
		uid uint32
		err error
		// code is OK where the caller is let in.
		code status.Code
	}{
		"root":       {0, nil, status.OK},
		"other":      {other, nil, status.PermissionDenied},
		"no kernel":  {0, errors.New("ENOPROTOOPT"), status.Unauthenticated},
		"nobody":     {65534, nil, status.PermissionDenied},
		"unmappable": {1<<32 - 1, nil, status.PermissionDenied},
	} {
		// A token does not help: this door is for two users.
		r := request("Bearer " + secret)
		r = r.WithContext(auth.WithPeer(r.Context(), tt.uid, tt.err))
		p, err := a.Authenticate(r.Context(), r)
		if status.CodeOf(err) != tt.code || p.Operator != (tt.code == status.OK) || err != nil && status.ReasonOf(err) != "auth.socket" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestWrappedConnections: only the kernel's own connection is believed.
func TestWrappedConnections(t *testing.T) {
	c, d := net.Pipe()
	defer c.Close()
	defer d.Close()
	a := newAuth(t, auth.Config{})
	for _, conn := range []net.Conn{c, struct{ net.Conn }{c}, (*net.TCPConn)(nil)} {
		r := request()
		r = r.WithContext(auth.ConnContext(r.Context(), conn))
		_, err := a.Authenticate(r.Context(), r)
		wantErr(t, err, "auth.unconfigured")
	}
	var closed net.UnixConn
	r := request()
	r = r.WithContext(auth.ConnContext(r.Context(), &closed))
	_, err := a.Authenticate(r.Context(), r)
	wantErr(t, err, "auth.socket")
}
