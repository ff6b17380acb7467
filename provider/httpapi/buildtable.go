package httpapi

import (
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

const buildText = `The body is multipart/form-data of at most 104857600 bytes, all of it counted. The part "metadata" is a JSON text with the app's id, as a value ` +
	`or as a file; "project" is an archive of the source: tar, tar.gz, tar.zst or zip, told by content. It answers when both are stored; the build goes on, ` +
	`also over a restart of the provider. Poll the build, or follow its events. Where the metadata has a deployment_id, that deployment waits for a build ` +
	`(POST /api/v1/apps/{id}/deployments without artifact_id and image makes one): it has this build's log, and goes on or fails with it.`

// buildOperations are the routes of builds from source.
func buildOperations() []operation {
	const at = "/api/v1/builds/{id}"
	shown := func(text string) answer { return jsonAnswer(200, text, builds.Build{}) }
	return []operation{
		post("/api/v1/builds", "createBuild", "builds", "Build a project from source", (*call).createBuild,
			jsonAnswer(202, "The build waits for its turn.", builds.Build{}, "Location")).with(func(o *operation) {
			o.text, o.bodies = buildText, []body{{media: "multipart/form-data", schema: buildFormSchema()}}
		}),
		get("/api/v1/builds", "listBuilds", "builds", "Builds, newest first", (*call).listBuilds, jsonAnswer(200, "The page.", list[builds.Build]{})).with(func(o *operation) {
			o.params = append([]param{namespaceParam, {in: "query", name: "app_id", kind: "string", text: "Those of one app."}}, pageParams[:2]...)
		}),
		get(at, "getBuild", "builds", "One build", (*call).getBuild, shown("The build.")),
		post(at+"/cancel", "cancelBuild", "builds", "End a build: it fails with the error \"cancelled\"", (*call).cancelBuild, shown("The build, ended.")),
		get(at+"/events", "buildEvents", "builds", "Follow a build until it has ended", (*call).buildEvents,
			answer{code: 200, text: "Server-sent events, or one JSON object for each line.", media: []string{mediaSSE, mediaNDJSON}}).
			with(func(o *operation) { o.params = []param{lastEvent} }),
		get(at+"/logs", "buildLogs", "builds", "What a build wrote", (*call).buildLogs,
			answer{code: 200, text: "Lines.", media: []string{mediaText, mediaNDJSON, mediaSSE}}).with(func(o *operation) {
			o.params = []param{{in: "query", name: "follow", kind: "string", choice: []string{"true", "false", "1", "0"}}}
		}),
		get(at+"/provenance", "buildProvenance", "builds", "How it was built: SLSA provenance v1, signed", (*call).buildProvenance,
			answer{code: 200, text: "A DSSE envelope.", media: []string{mediaDSSE}}),
		get(at+"/sbom", "buildSBOM", "builds", "What is in the image", (*call).buildSBOM, answer{code: 200, text: "The bill of materials.", media: []string{mediaJSON}}),
		post("/api/v1/apps/{id}/deploy/trigger", "triggerDeploy", "deployments", "Build an app from its source, and deploy it", (*call).deployTrigger,
			jsonAnswer(201, "The deployment as it is; with Prefer: wait, when it has succeeded.", deploy.Deployment{}, "Location"),
			jsonAnswer(202, "The deployment goes on.", deploy.Deployment{}, "Location", "Preference-Applied")).with(func(o *operation) {
			o.params, o.bodies = []param{prefer}, []body{{media: mediaJSON, value: trigger{}, optional: true}}
		}),
	}
}
