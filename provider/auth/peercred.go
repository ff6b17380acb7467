package auth

import (
	"context"
	"net"
	"os"
	"strconv"
	"syscall"

	"apocryph/proto/status"
)

// SocketPrincipal is the caller of a unix socket with this uid. Root and the
// user that this process runs as are the operator: both can read its memory
// and its files anyway. Everybody else may do nothing.
func SocketPrincipal(uid uint32) Principal {
	return Principal{
		Subject: "uid:" + strconv.FormatUint(uint64(uid), 10), Via: ViaSocket,
		Operator: uid == 0 || int64(uid) == int64(os.Geteuid()),
	}
}

type peerKey struct{}

// peer is who connected to a unix socket.
type peer struct {
	uid uint32
	err error
}

// ConnContext is for [net/http.Server]: it asks the kernel who connected
// (SO_PEERCRED, unix(7)), for [Authenticator.Authenticate] to find with each
// request. Only a *net.UnixConn has a peer; any other connection, also one that
// wraps a unix socket, is a stranger's and needs a token.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(u)
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}

// peerUID is the uid of the process that connected, at the time it did.
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// fromSocket is the principal of a unix socket's caller. Headers do not count
// there: they could only claim less than the caller may do anyway, or more.
func fromSocket(p peer) (Principal, error) {
	if p.err != nil {
		return Principal{}, status.Wrap(p.err, status.Unauthenticated, "auth.socket", "the kernel does not say who calls through this socket")
	}
	caller := SocketPrincipal(p.uid)
	if !caller.Operator {
		return Principal{}, status.New(status.PermissionDenied, "auth.socket", "this socket is not for uid %d", p.uid).
			WithHint("call as root or as the provider's user, or use the TCP address with a token")
	}
	return caller, nil
}
