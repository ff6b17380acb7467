package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	nearIP, farIP = "10.78.0.1", "10.78.0.2"
	// maxPacket is the largest packet that segmentation offload hands over.
	maxPacket = 65536 + 64
	// maxUnderway bounds the packets on their way in one direction, above what
	// the windows of TCP let be there.
	maxUnderway = 1 << 16
)

// namespace is a network namespace in which processes can be started. A nil
// one is this process's own.
type namespace struct{ file *os.File }

// start starts cmd in the namespace.
func (n *namespace) start(cmd *exec.Cmd) error {
	if n == nil {
		return cmd.Start()
	}
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// onThread runs fn on a thread that is given up afterwards. A child of a thread
// is in the thread's namespaces.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}

// link joins two network namespaces by a line with a delay and no limit of
// bandwidth: each has a TUN device that takes and gives whole TCP segments
// (IFF_VNET_HDR, TSO), and this process carries packets from one to the other,
// each after its time. Nothing is lost or reordered.
type link struct {
	near, far *namespace
	tuns      [2]*os.File
	wg        sync.WaitGroup
	lost      atomic.Int64
}

func newLink(oneWay time.Duration) (*link, error) {
	l := &link{}
	for i, ip := range []string{nearIP, farIP} {
		ns, tun, err := newEnd(ip)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("making a link: %w", err)
		}
		l.tuns[i] = tun
		if i == 0 {
			l.near = ns
		} else {
			l.far = ns
		}
	}
	l.carry(l.tuns[0], l.tuns[1], oneWay)
	l.carry(l.tuns[1], l.tuns[0], oneWay)
	return l, nil
}

// newEnd makes a namespace and its TUN device.
func newEnd(ip string) (ns *namespace, tun *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		ns = &namespace{f}
		if tun, err = openTUN("line"); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		dev, err := netlink.LinkByName("line")
		if err != nil {
			return err
		}
		return errors.Join(
			netlink.LinkSetUp(lo),
			netlink.LinkSetTxQLen(dev, 10000),
			netlink.AddrAdd(dev, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(24, 32)}}),
			netlink.LinkSetUp(dev),
		)
	})
	return ns, tun, err
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that Close ends a Read
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

type packet struct {
	b  *[]byte
	n  int
	at time.Time
}

// carry brings packets from one end to the other until the ends are closed.
func (l *link) carry(from, to *os.File, delay time.Duration) {
	pool := sync.Pool{New: func() any { b := make([]byte, maxPacket); return &b }}
	underway := make(chan packet, maxUnderway)
	l.wg.Go(func() {
		defer close(underway)
		for {
			b := pool.Get().(*[]byte)
			n, err := from.Read(*b)
			if err != nil {
				return
			}
			select {
			case underway <- packet{b, n, time.Now().Add(delay)}:
			default:
				l.lost.Add(1)
				pool.Put(b)
			}
		}
	})
	l.wg.Go(func() {
		for p := range underway {
			time.Sleep(time.Until(p.at))
			// A write that fails is a packet lost, as on any line.
			if _, err := to.Write((*p.b)[:p.n]); err != nil && !errors.Is(err, os.ErrClosed) {
				l.lost.Add(1)
			}
			pool.Put(p.b)
		}
	})
}

// err tells whether the line lost packets, which would spoil what was measured.
func (l *link) err() error {
	if n := l.lost.Load(); n > 0 {
		return fmt.Errorf("the line lost %d packets", n)
	}
	return nil
}

func (l *link) close() {
	for _, t := range l.tuns {
		if t != nil {
			_ = t.Close()
		}
	}
	for _, n := range []*namespace{l.near, l.far} {
		if n != nil {
			_ = n.file.Close()
		}
	}
	l.wg.Wait()
}

// addressIn is the IPv4 address of the one link in a network namespace.
func addressIn(path string) (ip string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	err = onThread(func() error {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
		for _, a := range addrs {
			if !a.IP.IsLoopback() {
				ip = a.IP.String()
			}
		}
		if err == nil && ip == "" {
			err = errors.New("no address in " + path)
		}
		return err
	})
	return ip, err
}
