package discovery

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/capacitypb"
	"apocryph/proto/discoverypb"
)

func (a Advert) toWire() *discoverypb.Advert {
	w := &discoverypb.Advert{
		PeerId: []byte(a.Peer), Seq: a.Seq, NotAfter: a.NotAfter.UnixMilli(),
		Tee: a.TEE, Region: a.Region, RuntimeClasses: a.RuntimeClasses,
		Resources: &discoverypb.CoarseResources{
			CpuMillis: a.Resources.CPUMillis, MemoryBytes: a.Resources.MemoryBytes,
			DiskBytes: a.Resources.DiskBytes, Gpus: a.Resources.GPUs,
		},
		Asset: a.Asset, Software: a.Software, Platform: a.Platform,
	}
	for _, addr := range a.Addrs {
		w.Addrs = append(w.Addrs, addr.Bytes())
	}
	for _, p := range a.Prices {
		w.Prices = append(w.Prices, &capacitypb.ResourcePrice{Resource: p.Resource, Unit: p.Unit, PerUnitSecond: p.PerUnitSecond})
	}
	return w
}

// fromWire fails on what has no native form; validate judges the rest.
func fromWire(w *discoverypb.Advert) (Advert, error) {
	id, err := peer.IDFromBytes(w.GetPeerId())
	if err != nil {
		return Advert{}, fmt.Errorf("peer_id is not a peer id: %w", err)
	}
	r := w.GetResources()
	a := Advert{
		Peer: id, Seq: w.GetSeq(), NotAfter: time.UnixMilli(w.GetNotAfter()),
		TEE: w.GetTee(), Region: w.GetRegion(), RuntimeClasses: w.GetRuntimeClasses(),
		Resources: Resources{
			CPUMillis: r.GetCpuMillis(), MemoryBytes: r.GetMemoryBytes(),
			DiskBytes: r.GetDiskBytes(), GPUs: r.GetGpus(),
		},
		Asset: w.GetAsset(), Software: w.GetSoftware(), Platform: w.GetPlatform(),
	}
	for i, b := range w.GetAddrs() {
		// Before parsing: an advert is 16 KiB at most, but addresses expand as text.
		if i >= maxAddrs || len(b) > maxAddrBytes {
			return Advert{}, fmt.Errorf("addrs[%d]: got %d addresses of up to %d bytes, want at most %d of %d", i, len(w.GetAddrs()), len(b), maxAddrs, maxAddrBytes)
		}
		addr, err := multiaddr.NewMultiaddrBytes(b)
		if err != nil {
			return Advert{}, fmt.Errorf("addrs[%d] is not a multiaddr: %w", i, err)
		}
		a.Addrs = append(a.Addrs, addr)
	}
	for _, p := range w.GetPrices() {
		a.Prices = append(a.Prices, Price{Resource: p.GetResource(), Unit: p.GetUnit(), PerUnitSecond: p.GetPerUnitSecond()})
	}
	return a, nil
}
