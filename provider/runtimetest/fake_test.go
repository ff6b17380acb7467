package runtimetest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFake(t *testing.T) {
	Test(t, func(t *testing.T) Runtime { return NewFake(t) })
}

func TestFakeServes(t *testing.T) {
	f := NewFake(t)
	f.Handler = func(s provider.InstanceSpec, c provider.ContainerSpec) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, string(s.ID)+" "+c.Name) })
	}
	b := NewBench(t, f)
	s := b.Spec("sleep")
	s.Containers[0].Ports = []manifest.Port{{TargetPort: 8080, Protocol: manifest.HTTP}}
	got := b.Up(s)
	url := "http://" + got.IP + ":8080/"
	answer := func() (string, error) {
		r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return string(body), err
	}
	if got, err := answer(); err != nil || got != string(s.ID)+" main" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := f.Kill(s.ID, "main", 9); err != nil {
		t.Fatal(err)
	}
	if st := b.Stopped(s.ID, "main"); st.ExitCode != 9 {
		t.Errorf("killed: %+v", st)
	}
	if got, err := answer(); err == nil {
		t.Errorf("a dead container answers %q", got)
	}
}

func TestFakeFails(t *testing.T) {
	f := NewFake(t)
	b := NewBench(t, f)
	s := b.Spec("sleep")
	b.Create(s)
	f.Fail("Start", io.ErrUnexpectedEOF)
	if err := f.Start(t.Context(), s.ID); err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("got %v", err)
	}
	if err := f.Start(t.Context(), s.ID); err != nil {
		t.Errorf("the second time: %v", err)
	}
}
