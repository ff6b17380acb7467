package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// TestProviderKilledInEachBuildStage kills the provider as soon as a build says that it
// is in a stage, and starts it again: the build is queued once more, its deployment goes
// on, and nothing of the first attempt is left.
func TestProviderKilledInEachBuildStage(t *testing.T) {
	d := builder(t)
	ballast := make([]byte, 24<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(ballast) // it never fails
	dir, _ := d.w.Repository("repos/phoenix", "", map[string]string{
		"Dockerfile": "FROM scratch\nCOPY server ballast /\nUSER 65532:65532\nENTRYPOINT [\"/server\"]\n", "server": staticServer(t, d.w), "ballast": string(ballast),
	})
	client := harness.Socket(d.Info.APISocket)
	defer d.clean(t)
	var builds struct {
		Data []struct {
			ID, Stage, Status, Error string
		}
	}
	body, err := json.Marshal(map[string]any{
		"name": "phoenix", "source": "file://" + dir, "ref": "main", "port": 8080, "resources": map[string]string{"cpu": "200m", "memory": "128Mi"},
	})
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, stage := range []string{"fetching", "compiling", "sealing"} {
		t.Run(stage, func(t *testing.T) {
			made := object(t, d.sh(`curl -X POST $API/deploy -H 'Content-Type: application/json' -H 'Prefer: respond-async' -d "$BODY"`, "BODY="+string(body)))
			reached := func() bool {
				harness.JSON(t, client, "GET", "/api/v1/builds", &builds)
				// The newest is the first.
				return len(builds.Data) > 0 && builds.Data[0].ID != last && (builds.Data[0].Stage == stage || builds.Data[0].Status == "succeeded" || builds.Data[0].Status == "failed")
			}
			for !reached() && t.Context().Err() == nil {
			}
			d.Kill()
			d.Start()
			if last = builds.Data[0].ID; builds.Data[0].Stage != stage {
				t.Errorf("the build was not seen in it: %+v", builds.Data[0])
			}
			d.env = []string{"API=http://" + d.Info.API, "INGRESS=http://" + d.Info.Ingress}
			got := object(t, d.sh(`curl "$API/api/v1/deployments/$ID/wait?timeout=300s"`, "ID="+made["id"].(string)))
			if got["status"] != "succeeded" {
				t.Fatalf("got %v", got)
			}
			if answer := d.app(got["url"].(string)); !strings.Contains(answer, "hello from") {
				t.Errorf("it answers %q", answer)
			}
			log := d.sh(`curl "$API/api/v1/builds/$ID/logs"`, "ID="+got["build_id"].(string))
			if !strings.Contains(log, "it begins again") {
				t.Errorf("the log says %q", log)
			}
			d.clean(t)
			if left := buildLeftovers(t, d.Dir); len(left) > 0 {
				t.Errorf("there is %v", left)
			}
		})
	}
}

// buildLeftovers are volumes and instances of jobs in a data directory. Caches, and what
// keeps a base image unpacked, are meant to stay.
func buildLeftovers(t *testing.T, dir string) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && strings.HasPrefix(name, "buildpod-") && !strings.Contains(name, "cache-") && !strings.Contains(name, "-warm-") {
			left = append(left, fmt.Sprint(path))
		}
		return nil // they go while it looks
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}
