package httpapi

// deployText is the description of POST /deploy: what the handler's comment says,
// for those who read the document.
const deployText = `The canonical request is multipart/form-data, and parts are told by their name alone. The part "manifest" is a JSON text with the app's name, ` +
	`runtime, ports, environment and so on, as a value or as a file. The parts "files", any number of them, are what is to run: tar, tar.gz, tar.zst or zip, ` +
	`told by content, or single files. The earlier request, application/json, is the manifest alone; it is wrapped into the same form and is deprecated. ` +
	`A JSON object with "slugs", a list of repositories such as gh:owner/repo#ref, builds and deploys each, and answers with a stream of events.

It answers when the app is healthy and the ingress reaches it (201). "Prefer: respond-async" answers 202 at once, "Accept: text/event-stream" streams the ` +
	`deployment's events, dry_run=true changes nothing. What the caller can fix is 400, 413 or 415 and names each fault; an app that does not come up is 502 ` +
	`with its last lines, and what ran before goes on.`

func formSchema() *schema {
	return &schema{
		Type: "object", Required: []string{partManifest}, Additional: false,
		Properties: map[string]*schema{
			partManifest: {Type: "string", MaxLength: maxManifest, Description: "The manifest, a JSON text of at most 256 KiB."},
			partFiles:    {Type: "array", Items: &schema{Type: "string", Format: "binary"}, Description: "Archives and files; needed by the runtimes that are built from files."},
		},
	}
}

// manifestSchema is a summary: the manifest has a schema of its own.
func manifestSchema() *schema {
	return &schema{Type: "object", Description: "The manifest alone: the earlier form. Or slugs, a list of repositories that are built and deployed, with namespace and environment."}
}

func deploymentSchema() *schema {
	return &schema{Type: "object", Description: "artifact_id or image, or neither to wait for a build; process_type, replicas, environment, resources, networking and env."}
}
