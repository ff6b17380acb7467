package runtimetest

import (
	"testing"

	"apocryph/proto/status"
	"apocryph/provider"
)

// testBinds mounts directories of a volume, and nothing that is beside them.
func testBinds(t *testing.T, b *Bench) {
	first := b.Spec("write", "/data/sub/file", "kept", ";", "write", "/data/other", "secret")
	withVolume(&first, "data", "/data")
	if _, code := b.Output(first); code != 0 {
		t.Fatalf("filling the volume: %d", code)
	}
	b.Gone(first)
	s := b.Spec("cat", "/in/file", ";", "write", "/in/new", "made", ";", "sleep")
	s.Pod, s.ID = first.Pod, provider.InstanceID(string(first.Pod)+"-2-0")
	withVolume(&s, "data", "/data")
	s.Containers[0].Mounts = nil
	s.Containers[0].Binds = []provider.Bind{{Volume: "data", Dir: "sub", Path: "/in"}}
	b.Up(s)
	b.Wait("the file", func() bool {
		out, code := b.Run(s.ID, "cat", "/in/new")
		return code == 0 && out == "made"
	})
	if out := b.Text(s.ID); out != "kept\n" {
		t.Errorf("got %q", out)
	}
	if out, code := b.Run(s.ID, "cat", "/in/../other"); code == 0 {
		t.Errorf("what is beside the directory: %q", out)
	}
	b.Gone(s)
	for name, bind := range map[string]provider.Bind{
		"no such volume": {Volume: "none", Dir: "sub", Path: "/in"},
		"no directory":   {Volume: "data", Path: "/in"},
		"above":          {Volume: "data", Dir: "../sub", Path: "/in"},
		"unclean":        {Volume: "data", Dir: "a/../sub", Path: "/in"},
		"absolute":       {Volume: "data", Dir: "/etc", Path: "/in"},
		"no path":        {Volume: "data", Dir: "sub"},
		"over all":       {Volume: "data", Dir: "sub", Path: "/"},
		"over /proc":     {Volume: "data", Dir: "sub", Path: "/proc/sys"},
	} {
		s.Containers[0].Binds = []provider.Bind{bind}
		if _, err := b.Runtime.Create(t.Context(), s, nil); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// testOffline runs what has no network; that it has none cannot be faked.
func testOffline(t *testing.T, b *Bench) {
	s := b.Spec("echo", "here")
	s.Offline = true
	s.Containers[0].AsRoot = true
	if out, code := b.Output(s); out != "here\n" || code != 0 {
		t.Errorf("got %q and %d", out, code)
	}
}
