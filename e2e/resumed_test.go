package e2e

import (
	"strings"
	"testing"
)

// TestDirectResumed brings a site's files in two parts (tus 1.0.0), with the second one
// asked for where the first ended, and deploys them by POST /deploy.
func TestDirectResumed(t *testing.T) {
	d := openDoor(t, "deploy:default")
	defer d.clean(t)
	d.w.Write("work/site/index.html", "<h1>in two parts</h1>")
	got := d.sh(`
tar -cf site.tar -C site .
SIZE=$(stat -c %s site.tar)
AT=$(curl -f -D - -o /dev/null -X POST $API/api/v1/uploads -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: $SIZE" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
head -c 1000 site.tar | curl -f -X PATCH $API$AT -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' --data-binary @-
OFFSET=$(curl -f -I $API$AT -H 'Tus-Resumable: 1.0.0' | tr -d '\r' | sed -n 's/^[Uu]pload-[Oo]ffset: //p')
tail -c +$((OFFSET + 1)) site.tar | curl -f -X PATCH $API$AT -H 'Tus-Resumable: 1.0.0' -H "Upload-Offset: $OFFSET" -H 'Content-Type: application/offset+octet-stream' --data-binary @-
curl -f $API/deploy -H 'Content-Type: application/json' -d "{\"name\":\"parts\",\"runtime\":\"static\",\"artifact_id\":\"${AT##*/}\"}"`)
	made := object(t, got)
	if made["status"] != "succeeded" || made["source"].(map[string]any)["type"] != "artifact" {
		t.Fatalf("got %v", made)
	}
	if page := d.sh(`curl -f "$URL"`, "URL="+made["url"].(string)); !strings.Contains(page, "in two parts") {
		t.Errorf("it answers %q: %v", page, made)
	}
}
