package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	// settleTime is how long a container without any port or check must stay
	// up to count as started.
	settleTime = time.Second
	// firstProbe is the delay between the first probes of a container that starts.
	firstProbe = 5 * time.Millisecond
	// probeShare is the part of a start that the next probe is later: it is seen to
	// serve at most a tenth after it does.
	probeShare = 10
	// maxEarlyExits is how often a container may exit before it first is healthy.
	maxEarlyExits = 3
	// lookEarly is how often a container that is not healthy yet is looked at: the
	// runtime may have told of its exit when nobody listened.
	lookEarly = time.Second
)

// early is what is known of the containers of a revision before it is healthy.
// Its maps are keyed by instance and container.
type early struct {
	// prefix is what the revision's instances begin with, ends tells of their exits.
	prefix string
	ends   chan Exit
	exits  map[string]int
	// again is when a container was started again: what ended before is known.
	again  map[string]time.Time
	looked time.Time
}

func newEarly(rec Record, ends chan Exit) *early {
	return &early{
		prefix: instancePrefix(rec.ID, rec.Revision), ends: ends,
		exits: map[string]int{}, again: map[string]time.Time{}, looked: time.Now(),
	}
}

// awaitHealthy waits until every container of every replica passes.
func (s *Service) awaitHealthy(ctx context.Context, known *early, m *manifest.Manifest, up []Instance) error {
	for _, inst := range up {
		for _, c := range m.Containers {
			if err := s.awaitContainer(ctx, inst, c, known); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) awaitContainer(ctx context.Context, inst Instance, c manifest.Container, known *early) error {
	start, interval := time.Minute, 10*time.Second
	if c.Health != nil {
		start, interval = c.Health.Start, c.Health.Interval
	}
	began := time.Now()
	deadline := began.Add(start)
	var last error
	for {
		if err := s.earlyExits(ctx, known); err != nil {
			return err
		}
		if err := s.earlyLook(ctx, inst.ID, known); err != nil {
			return err
		}
		if last = s.probe(ctx, inst, c); last == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !time.Now().Before(deadline) {
			if errors.Is(last, errBlind) {
				return last
			}
			return status.New(status.AppFailed, "app.unhealthy", "container %s did not pass its health check within %s: %v", c.Name, start, last).
				WithHint("look at the last log lines; raise health.start if the app needs longer")
		}
		t := time.NewTimer(nextProbe(time.Since(began), interval))
		select {
		case <-t.C:
		case e := <-known.ends:
			t.Stop()
			offerExit(known.ends, e)
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// nextProbe is the delay after a probe that failed this long after the start.
func nextProbe(elapsed, interval time.Duration) time.Duration {
	return min(max(firstProbe, elapsed/probeShare), interval)
}

// earlyExits starts containers again that exited before they were healthy, and
// gives up on one that does so too often.
func (s *Service) earlyExits(ctx context.Context, known *early) error {
	for {
		select {
		case e := <-known.ends:
			if !strings.HasPrefix(string(e.Instance), known.prefix) || e.At.Before(known.again[exitKey(e)]) {
				continue
			}
			if err := s.earlyExit(ctx, e, known); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// earlyLook finds exits that nobody told of.
func (s *Service) earlyLook(ctx context.Context, id InstanceID, known *early) error {
	if time.Since(known.looked) < lookEarly || len(known.ends) > 0 {
		return nil
	}
	known.looked = time.Now()
	have, err := s.list(ctx)
	if err != nil {
		return nil // not knowing is no reason to touch a pod
	}
	for _, i := range have {
		for _, c := range i.Containers {
			e := Exit{Instance: i.ID, Container: c.Name, Code: c.ExitCode, OOMKilled: c.OOMKilled}
			// Just started again it may not be up yet, and is told of if it ends.
			if i.ID != id || c.Running || time.Since(known.again[exitKey(e)]) < lookEarly {
				continue
			}
			if err := s.earlyExit(ctx, e, known); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) earlyExit(ctx context.Context, e Exit, known *early) error {
	key := exitKey(e)
	if known.exits[key]++; known.exits[key] >= maxEarlyExits {
		return exitError(e)
	}
	known.again[key] = time.Now()
	return s.cfg.Runtime.Start(ctx, e.Instance)
}

func exitKey(e Exit) string { return string(e.Instance) + "/" + e.Container }

// exitError tells how a container ended.
func exitError(e Exit) error {
	why := fmt.Sprintf("exited with code %d", e.Code)
	if e.OOMKilled {
		why = "was killed: it used more memory than its limit"
	}
	return status.New(status.AppFailed, "app.exited", "container %s %s", e.Container, why).
		WithHint("look at the last log lines")
}

// probe makes one check of a container: its own, or that every port accepts a connection.
func (s *Service) probe(ctx context.Context, inst Instance, c manifest.Container) error {
	timeout := 2 * time.Second
	if c.Health != nil {
		timeout = c.Health.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch h := c.Health; {
	case h != nil && h.HTTP != nil:
		return probeHTTP(ctx, inst.IP, *h.HTTP)
	case h != nil && h.TCP != nil:
		return probeTCP(ctx, inst.IP, h.TCP.Port)
	case h != nil && len(h.Command) > 0:
		code, out, err := s.cfg.Instances.Exec(ctx, inst.ID, c.Name, h.Command)
		if err == nil && code != 0 {
			err = fmt.Errorf("command exited with code %d: %.200s", code, out)
		}
		return err
	}
	var checked bool
	for _, port := range c.Ports {
		if port.Protocol == manifest.UDP {
			continue
		}
		checked = true
		if err := probeTCP(ctx, inst.IP, port.TargetPort); err != nil {
			return err
		}
	}
	if !checked {
		return s.settled(ctx, inst.ID, c.Name)
	}
	return nil
}

// settled passes when the container is still up after a while.
func (s *Service) settled(ctx context.Context, id InstanceID, container string) error {
	t := time.NewTimer(settleTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	have, err := s.list(ctx)
	if err != nil {
		return err
	}
	for _, i := range have {
		for _, c := range i.Containers {
			if i.ID == id && c.Name == container && c.Running {
				return nil
			}
		}
	}
	return errors.New("the container is not running")
}

func probeTCP(ctx context.Context, ip string, port uint16) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("port %d accepts no connection", port)
	}
	return conn.Close()
}

// probeClient follows no redirect, so that an app cannot send the provider elsewhere.
func probeHTTP(ctx context.Context, ip string, check manifest.HTTPCheck) error {
	url := "http://" + net.JoinHostPort(ip, strconv.Itoa(int(check.Port))) + check.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "apocryph-health")
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("GET %s on port %d got no answer", check.Path, check.Port)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s on port %d answered %d", check.Path, check.Port, resp.StatusCode)
	}
	return nil
}
