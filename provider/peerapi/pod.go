package peerapi

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxLogLine bounds one line on the wire; longer ones are cut.
const maxLogLine = 256 << 10

func (a *API) pod(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], req *podpb.PodRequest) error {
	publisher := publisherOf(s.Peer())
	switch call := req.GetCall().(type) {
	case *podpb.PodRequest_List:
		pods, err := a.svc.List(ctx, publisher)
		if err != nil {
			return err
		}
		return s.Send(a.podsToWire(s.Peer(), pods))
	case *podpb.PodRequest_Status:
		pod, err := a.svc.Status(ctx, publisher, call.Status.GetName())
		if err != nil {
			return err
		}
		return s.Send(a.podsToWire(s.Peer(), []provider.PodView{pod}))
	case *podpb.PodRequest_Logs:
		return a.logs(ctx, s, publisher, call.Logs)
	case *podpb.PodRequest_Delete:
		if err := a.svc.Delete(ctx, publisher, call.Delete.GetName(), call.Delete.GetKeepVolumes()); err != nil {
			return err
		}
		return s.Send(a.podsToWire(s.Peer(), nil))
	case *podpb.PodRequest_History:
		revisions, err := a.svc.History(ctx, publisher, call.History.GetName())
		if err != nil {
			return err
		}
		return s.Send(historyToWire(revisions))
	case *podpb.PodRequest_Rollback:
		return a.rollback(ctx, s, publisher, call.Rollback)
	case *podpb.PodRequest_Build:
		return a.build(ctx, s, publisher, call.Build)
	case *podpb.PodRequest_DropBuild:
		return a.dropBuild(ctx, s, publisher, call.DropBuild)
	}
	return status.New(status.Unimplemented, "pod.call", "this provider does not know the call").WithHint("it may run an older version")
}

func (a *API) logs(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], publisher provider.PublisherID, q *podpb.FollowLogs) error {
	query := provider.LogQuery{Container: q.GetContainer(), Follow: q.GetFollow(), Tail: int(q.GetTail())}
	if q.GetSince() > 0 {
		query.Since = time.UnixMilli(q.GetSince())
	}
	err := a.svc.ReadLogs(ctx, publisher, q.GetName(), query, func(replica uint32, l provider.LogLine) error {
		return s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Line: &podpb.LogLine{
			Container: l.Container, Time: l.Time.UnixNano(), Stream: l.Stream, Text: l.Text[:min(len(l.Text), maxLogLine)], Replica: replica,
		}}}})
	})
	if err != nil {
		return err
	}
	return s.Send(a.podsToWire(s.Peer(), nil))
}

func (a *API) podsToWire(id peer.ID, pods []provider.PodView) *podpb.PodResponse {
	result := &podpb.PodResult{}
	for _, p := range pods {
		w := &podpb.PodStatus{
			PodId: string(p.ID), Name: p.Name, Revision: p.Revision, State: string(p.State), Reason: p.Reason,
			ManifestDigest: p.ManifestDigest[:], Endpoints: a.endpointsToWire(id, p.Endpoints),
			CreatedAt: p.Created.UnixMilli(), UpdatedAt: p.Updated.UnixMilli(), Receipt: p.Receipt,
		}
		for _, c := range p.Containers {
			w.Containers = append(w.Containers, &podpb.ContainerStatus{
				Name: c.Name, Replica: c.Replica, State: c.State, Restarts: uint32(c.Restarts), ExitCode: int32(c.ExitCode),
				Cid: c.CID, ImageId: c.ImageID, Reason: c.Reason,
			})
		}
		result.Pods = append(result.Pods, w)
	}
	return &podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: result}}
}

func (a *API) endpointsToWire(id peer.ID, endpoints []provider.Endpoint) []*podpb.Endpoint {
	var out []*podpb.Endpoint
	for _, e := range endpoints {
		out = append(out, &podpb.Endpoint{
			Container: e.Container, Port: uint32(e.Port), Protocol: string(e.Protocol), Url: e.URL, Dial: a.dialFor(id, e.Dial),
		})
	}
	return out
}
