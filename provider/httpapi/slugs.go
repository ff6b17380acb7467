package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"apocryph/manifest/direct"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/proto/strictjson"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

// slugStep is what happens to one of several deployments.
type slugStep struct {
	// Step counts from 1 to Total, the number of slugs.
	Step         int    `json:"step"`
	Total        int    `json:"total"`
	Slug         string `json:"slug"`
	DeploymentID string `json:"deployment_id,omitempty"`
	// Status is the deployment's finer step, then "completed" or "error".
	Status string `json:"status"`
	Text   string `json:"text,omitempty"`
	// at is the event of the deployment that it comes of.
	at uint64
}

// slugResult is what became of one of several deployments.
type slugResult struct {
	Slug        string `json:"slug"`
	ServiceName string `json:"service_name"`
	Deployed    bool   `json:"deployed"`
	// HealthStatus is "SERVING" or "NOT_SERVING".
	HealthStatus string             `json:"health_status"`
	ErrorMessage string             `json:"error_message,omitempty"`
	DeploymentID string             `json:"deployment_id,omitempty"`
	URL          string             `json:"url,omitempty"`
	Deployment   *deploy.Deployment `json:"deployment,omitempty"`
}

// slugResults is the end of it: "completed", or "failed" where any was not deployed.
type slugResults struct {
	Status  string       `json:"status"`
	Results []slugResult `json:"results"`
}

// several is POST /deploy with slugs: each is fetched, built and deployed, and one
// that fails does not stop the others. Whether or not the caller stays does not
// matter once it has begun.
type several struct {
	c     *call
	items []slug.Item
	reqs  []deploy.Request
	made  []deploy.Deployment
	errs  []error
	// after is, of each, the last event that the caller has.
	after slugsAt
}

// slugsOf reads the body, if it is that form; nil where it is not.
func (c *call) slugsOf(b []byte) (*several, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil || fields["slugs"] == nil {
		return nil, nil
	}
	var in struct {
		Slugs       strictjson.Value `json:"slugs"`
		Namespace   string           `json:"namespace,omitempty"`
		Environment string           `json:"environment,omitempty"`
	}
	// Of the whole, in which each member is there once.
	if err := decodeJSON(b, &in); err != nil {
		return nil, err
	}
	items, err := slug.ParseList(fields["slugs"])
	if err != nil {
		return nil, err
	}
	ns, err := c.place(in.Namespace)
	if err != nil {
		return nil, err
	}
	if in.Environment == "" {
		in.Environment = direct.Production
	}
	s := &several{c: c, items: items, made: make([]deploy.Deployment, len(items)), errs: make([]error, len(items))}
	for _, item := range items {
		m, err := sourceManifest(ns, item.AppName(), in.Environment, "")
		if err != nil {
			return nil, err
		}
		req := c.asked(m)
		req.Git = &builds.GitSource{Want: git.Want{Slug: item.Slug}, Path: item.Path}
		s.reqs = append(s.reqs, req)
	}
	return s, nil
}

// deploySlugs answers with a stream, unless JSON is asked for. Where all are refused at
// once, or the caller waited and one has failed, it is a problem, as of one deployment.
func (c *call) deploySlugs(s *several, sum [sha256.Size]byte) (err error) {
	if s.after, err = c.slugsAfter(len(s.items)); err != nil {
		return err
	}
	if err := c.settle(sum); err != nil {
		return err
	}
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return err
	}
	defer leave()
	order := c.order()
	refused := 0
	for i := range s.reqs {
		id := sha256.Sum256(append(order[:], byte(i), byte(i>>8)))
		s.reqs[i].RequestID = [16]byte(id[:16])
		if s.made[i], s.errs[i] = c.hand(s.reqs[i]); s.errs[i] != nil {
			refused++
		}
	}
	if refused == len(s.items) {
		return s.failure()
	}
	media := accepts(c.r.Header, mediaSSE, mediaSSE, mediaNDJSON, mediaJSON)
	switch p := preferences(c.r.Header); {
	case p.async:
		c.w.Header().Set("Preference-Applied", "respond-async")
		return c.json(http.StatusAccepted, s.results("accepted"))
	case media == mediaJSON:
		if err := s.watch(c.ctx(), func(slugStep) error { return nil }); err != nil {
			return err
		}
		if err := s.failure(); err != nil {
			return err
		}
		return c.json(http.StatusOK, s.results(""))
	}
	return s.stream(media)
}

// watch follows all of them until the last has ended.
func (s *several) watch(ctx context.Context, fn func(slugStep) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	tell := func(i int, at uint64, state, text string) error {
		mu.Lock()
		defer mu.Unlock()
		return fn(slugStep{Step: i + 1, Total: len(s.items), Slug: s.items[i].Slug.String(), DeploymentID: s.made[i].ID, Status: state, Text: text, at: at})
	}
	for i := range s.items {
		wg.Go(func() {
			err := s.one(ctx, i, func(at uint64, state, text string) error { return tell(i, at, state, text) })
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return failed
}

func (s *several) one(ctx context.Context, i int, tell func(at uint64, state, text string) error) error {
	at := s.after[i]
	if s.errs[i] != nil {
		return tell(at+1, "error", "")
	}
	last, came := "", at == 0
	err := s.c.api.cfg.Deployments.Watch(ctx, s.made[i].Namespace, s.made[i].ID, at, func(e deploy.Event) error {
		came, at = true, max(at, e.Seq)
		state, text := last, ""
		switch {
		case e.Kind == "log":
			text = e.Text
		case e.Kind == "result" || e.Deployment != nil && e.Deployment.Status.Ended():
			return nil
		case e.Deployment != nil:
			state = e.Deployment.Stage
		case e.Text == "building: done":
			return nil // the build is, and the app is not
		case e.Text != "":
			state = strings.TrimPrefix(e.Text, "building: ")
		}
		if state == last && text == "" || state == "" {
			return nil
		}
		last = state
		return tell(at, state, text)
	})
	if err != nil {
		return err
	}
	d, err := s.c.api.cfg.Deployments.Deployment(ctx, s.made[i].Namespace, s.made[i].ID)
	if err != nil {
		return err
	}
	s.made[i] = d
	switch {
	case !came:
		return nil // the caller has its end, which comes after all events
	case d.Status == deploy.Succeeded:
		return tell(at+1, "completed", "")
	}
	return tell(at+1, "error", "")
}

func (s *several) results(state string) slugResults {
	out := slugResults{Status: state}
	if state == "" {
		out.Status = "completed"
	}
	for i, item := range s.items {
		d := view(s.made[i])
		r := slugResult{Slug: item.Slug.String(), ServiceName: s.reqs[i].App, HealthStatus: "NOT_SERVING", DeploymentID: d.ID, URL: d.URL, Deployment: &d}
		switch {
		case s.errs[i] != nil:
			r.Deployment, r.ErrorMessage = nil, status.Public(s.errs[i]).Detail
		case d.Failure != nil:
			r.ErrorMessage = d.Failure.Detail
		case d.Status == deploy.Succeeded:
			r.Deployed, r.HealthStatus = true, "SERVING"
		case d.Status.Ended():
			r.ErrorMessage = "the deployment was " + string(d.Status)
		}
		if state == "" && !r.Deployed {
			out.Status = "failed"
		}
		out.Results = append(out.Results, r)
	}
	return out
}
