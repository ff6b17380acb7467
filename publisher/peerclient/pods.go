package peerclient

import (
	"context"
	"time"

	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/publisher"
)

// maxPods bounds the pods that are taken over from one answer.
const maxPods = 1024

func newPodResponse() *podpb.PodResponse { return new(podpb.PodResponse) }

// PodStatus returns the pod of a name, or all of this publisher's for "".
func (c *Client) PodStatus(ctx context.Context, at publisher.ProviderID, name string) ([]publisher.PodStatus, error) {
	req := &podpb.PodRequest{Call: &podpb.PodRequest_List{List: &podpb.ListPods{}}}
	if name != "" {
		req.Call = &podpb.PodRequest_Status{Status: &podpb.GetPod{Name: name}}
	}
	result, err := c.podCall(ctx, at, req)
	if err != nil {
		return nil, err
	}
	var out []publisher.PodStatus
	for _, p := range result.GetPods()[:min(len(result.GetPods()), maxPods)] {
		out = append(out, statusFromWire(p))
	}
	return out, nil
}

// DeletePod deletes a pod and returns when nothing of it is left.
func (c *Client) DeletePod(ctx context.Context, at publisher.ProviderID, name string, keepVolumes bool) error {
	_, err := c.podCall(ctx, at, &podpb.PodRequest{Call: &podpb.PodRequest_Delete{Delete: &podpb.DeletePod{Name: name, KeepVolumes: keepVolumes}}})
	return err
}

func (c *Client) podCall(ctx context.Context, at publisher.ProviderID, req *podpb.PodRequest) (*podpb.PodResult, error) {
	id, err := decode(at)
	if err != nil {
		return nil, err
	}
	res, err := rpc.Do(ctx, c.host, id, rpc.Pod, req, newPodResponse)
	if err != nil {
		return nil, err
	}
	if res.GetResult() == nil {
		return nil, badAnswer("no result")
	}
	return res.GetResult(), nil
}

// FollowLogs calls fn for each line until the provider has no more, or ctx ends.
func (c *Client) FollowLogs(ctx context.Context, at publisher.ProviderID, q publisher.LogQuery, fn func(publisher.LogLine) error) error {
	id, err := decode(at)
	if err != nil {
		return err
	}
	follow := &podpb.FollowLogs{Name: q.Name, Container: q.Container, Follow: q.Follow, Tail: q.Tail}
	if !q.Since.IsZero() {
		follow.Since = q.Since.UnixMilli()
	}
	stream, err := rpc.Call(ctx, c.host, id, rpc.Pod, &podpb.PodRequest{Call: &podpb.PodRequest_Logs{Logs: follow}}, newPodResponse)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		res, err := receive(stream)
		if err != nil {
			return err
		}
		line := res.GetEvent().GetLine()
		if line == nil {
			return nil
		}
		err = fn(publisher.LogLine{
			Container: line.GetContainer(), Replica: line.GetReplica(), Time: time.Unix(0, line.GetTime()), Stream: line.GetStream(), Text: line.GetText(),
		})
		if err != nil {
			return err
		}
	}
}

func statusFromWire(p *podpb.PodStatus) publisher.PodStatus {
	s := publisher.PodStatus{
		PodID: p.GetPodId(), Name: p.GetName(), Revision: p.GetRevision(), State: p.GetState(), Reason: p.GetReason(),
		ManifestDigest: p.GetManifestDigest(), Endpoints: endpointsFromWire(p.GetEndpoints()),
		Created: time.UnixMilli(p.GetCreatedAt()), Updated: time.UnixMilli(p.GetUpdatedAt()), Receipt: p.GetReceipt(),
	}
	for _, c := range p.GetContainers() {
		s.Containers = append(s.Containers, publisher.ContainerStatus{
			Name: c.GetName(), Replica: c.GetReplica(), State: c.GetState(), Restarts: c.GetRestarts(), ExitCode: c.GetExitCode(),
			CID: c.GetCid(), ImageID: c.GetImageId(), Reason: c.GetReason(),
		})
	}
	return s
}
