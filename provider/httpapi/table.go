package httpapi

import (
	"net/http"
	"slices"

	"apocryph/manifest/direct"
	"apocryph/provider/deploy"
)

var (
	namespaceParam = param{in: "query", name: "namespace", kind: "string", length: direct.MaxNamespace, pattern: direct.NamespacePattern, text: "The namespace; by default every one that the caller may read, or the one that its token has."}
	pageParams     = []param{
		{in: "query", name: "page", kind: "integer", most: maxPage, text: "Counts from 1."},
		{in: "query", name: "page_size", kind: "integer", most: maxPageSize, text: "From 1 to 100."},
		{in: "query", name: "sort_order", kind: "string", choice: []string{"asc", "desc"}},
	}
	homeParam   = param{in: "query", name: "namespace", kind: "string", length: direct.MaxNamespace, pattern: direct.NamespacePattern, text: "Where it goes, if the body does not say; by default the namespace of the token, which must be said where its scopes have several."}
	labelParam  = param{in: "query", name: "label", kind: "string", text: "NAME=VALUE, at most 8 times: only what has all these labels."}
	ifMatch     = param{in: "header", name: "If-Match", kind: "string", text: "An entity tag: another version is refused with 412."}
	prefer      = param{in: "header", name: "Prefer", kind: "string", text: "RFC 7240: respond-async answers 202 at once, wait=SECONDS bounds the wait."}
	dryRun      = param{in: "query", name: "dry_run", kind: "string", choice: []string{"true", "false"}, text: "Change nothing and say what would be."}
	digestParam = param{in: "header", name: "Content-Digest", kind: "string", text: "RFC 9530, sha-256 or sha-512: other content is refused. Repr-Digest means the same."}
	lastEvent   = param{in: "header", name: "Last-Event-ID", kind: "string", text: "Go on after this event."}
)

// operations are the routes of what this API was given.
func (a *API) operations() []operation {
	ops := []operation{
		get("/health", "health", "provider", "Whether the provider serves", (*call).health, jsonAnswer(200, "It does.", health{})).
			with(func(o *operation) { o.access = everybody }),
		get("/pods", "listPods", "provider", "Every pod, for the operator", (*call).pods, jsonAnswer(200, "The pods.", pods{})).
			with(func(o *operation) { o.access = operator }),
		get("/openapi.json", "openapi", "provider", "This document", (*call).openAPIDocument, answer{code: 200, text: "OpenAPI 3.1.", media: []string{mediaJSON}}).
			with(func(o *operation) { o.access = readers }),
		get("/docs", "docs", "provider", "This document, for people", (*call).docs, answer{code: 200, text: "A page without scripts.", media: []string{"text/html"}}).
			with(func(o *operation) { o.access = readers }),
	}
	if a.cfg.Deployments != nil {
		ops = slices.Concat(ops, deployOperations(), appOperations(), domainOperations(), deploymentOperations())
	}
	if a.cfg.Builds != nil {
		ops = slices.Concat(ops, buildOperations())
	}
	if a.cfg.Repositories != nil {
		ops = slices.Concat(ops, gitOperations())
	}
	if a.cfg.Artifacts != nil {
		ops = slices.Concat(ops, artifactOperations(), tusOperations())
	}
	return append(ops, tokenOperations()...)
}

func deployOperations() []operation {
	op := post("/deploy", "deploy", "deploy", "Deploy an app", (*call).deploy,
		answer{code: 200, text: "A dry run's plan; or what became of each slug.", media: []string{mediaJSON}, value: plan{}, other: slugResults{}},
		answer{
			code: 201, text: "The app is healthy, and the ingress reaches it.", value: deploy.Deployment{},
			media: []string{mediaJSON}, headers: []string{"Location", "Deprecation", "Link"},
		},
		answer{
			code: 202, text: "The deployment goes on: asked for by Prefer. With slugs, each of them.", value: deploy.Deployment{}, other: slugResults{},
			media: []string{mediaJSON}, headers: []string{"Location", "Preference-Applied", "Deprecation", "Link"},
		},
	)
	op.text = deployText
	op.params = []param{dryRun, prefer, homeParam, digestParam, lastEvent}
	op.bodies = []body{
		{media: "multipart/form-data", schema: formSchema()},
		{media: mediaJSON, schema: manifestSchema()},
	}
	alias := op
	alias.path, alias.id, alias.summary = "/api/v1/deployments", "createDeploymentByForm", "Deploy an app: the same as POST /deploy"
	return []operation{op, alias}
}

func appOperations() []operation {
	created := jsonAnswer(201, "The deployment as it is; with Prefer: wait, when it has succeeded.", deploy.Deployment{}, "Location")
	return []operation{
		post("/api/v1/apps", "createApp", "apps", "Make an app", (*call).createApp, jsonAnswer(201, "The app.", app{}, "Location", "ETag")).with(jsonBody(newApp{})).
			with(func(o *operation) { o.params = []param{homeParam} }),
		get("/api/v1/apps", "listApps", "apps", "Apps, a page of 20", (*call).listApps, jsonAnswer(200, "The page.", list[app]{})).with(func(o *operation) {
			o.params = append([]param{namespaceParam, labelParam, {in: "query", name: "sort_by", kind: "string", choice: appSorts}}, pageParams...)
		}),
		get("/api/v1/apps/{id}", "getApp", "apps", "One app", (*call).getApp, jsonAnswer(200, "The app.", app{}, "ETag"), answer{code: 304, text: "As If-None-Match has it."}),
		get("/api/v1/apps/{namespace}/{name}", "getAppByName", "apps", "One app, by its name", (*call).getAppByName, jsonAnswer(200, "The app.", app{}, "ETag"), answer{code: 304, text: "As If-None-Match has it."}),
		{
			method: http.MethodPut, path: "/api/v1/apps/{id}", id: "updateApp", tag: "apps", summary: "Change an app; what is absent stays",
			params: []param{ifMatch}, bodies: []body{{media: mediaJSON, value: appChange{}}},
			handle: (*call).updateApp, answers: []answer{jsonAnswer(200, "The app.", app{}, "ETag")},
		},
		{
			method: http.MethodDelete, path: "/api/v1/apps/{id}", id: "deleteApp", tag: "apps", summary: "Remove an app, its pods and its deployments",
			params: []param{ifMatch}, handle: (*call).deleteApp, answers: []answer{noContent("It is gone.")},
		},
		post("/api/v1/apps/{id}/deployments", "createDeployment", "deployments", "Deploy an artifact or an image, or wait for a build", (*call).createDeployment,
			created, jsonAnswer(202, "The deployment goes on.", deploy.Deployment{}, "Location", "Preference-Applied")).
			with(func(o *operation) {
				o.params = []param{prefer}
				o.bodies = []body{{media: mediaJSON, schema: deploymentSchema()}}
			}),
		get("/api/v1/apps/{id}/deployments", "listDeployments", "deployments", "An app's deployments, newest first", (*call).listDeployments,
			jsonAnswer(200, "The page.", list[deploy.Deployment]{})).with(func(o *operation) { o.params = append([]param{labelParam}, pageParams...) }),
	}
}

func deploymentOperations() []operation {
	const at = "/api/v1/deployments/{id}"
	shown := func(text string) answer { return jsonAnswer(200, text, deploy.Deployment{}) }
	made := []answer{
		jsonAnswer(201, "A new deployment.", deploy.Deployment{}, "Location"),
		jsonAnswer(202, "The deployment goes on.", deploy.Deployment{}, "Location", "Preference-Applied"),
	}
	return []operation{
		get(at, "getDeployment", "deployments", "One deployment", (*call).getDeployment, shown("The deployment.")),
		post(at+"/promote", "promote", "deployments", "Run in another environment what a deployment runs", (*call).promote, made...).with(func(o *operation) {
			o.params, o.bodies = []param{prefer}, []body{{media: mediaJSON, value: promotion{}, optional: true}}
		}),
		post(at+"/rollback", "rollback", "deployments", "Bring back what a deployment ran", (*call).rollback, made...).
			with(func(o *operation) { o.params = []param{prefer} }),
		post(at+"/cancel", "cancel", "deployments", "End a deployment whose order is not placed yet", (*call).cancel, shown("The cancelled deployment.")),
		get(at+"/events", "events", "deployments", "Follow a deployment until it has ended", (*call).events,
			answer{code: 200, text: "Server-sent events, or one JSON object for each line.", media: []string{mediaSSE, mediaNDJSON}}).
			with(func(o *operation) { o.params = []param{lastEvent} }),
		get(at+"/logs", "logs", "deployments", "What the deployment's revision wrote", (*call).logs,
			answer{code: 200, text: "Lines.", media: []string{mediaText, mediaNDJSON, mediaSSE}}).with(func(o *operation) {
			o.params = []param{
				{in: "query", name: "follow", kind: "string", choice: []string{"true", "false", "1", "0"}},
				{in: "query", name: "tail", kind: "integer", text: "How many last lines to begin with."},
				{in: "query", name: "since", kind: "string", text: "A time of RFC 3339, or how long ago, such as 10m."},
				{in: "query", name: "container", kind: "string"},
			}
		}),
		get(at+"/wait", "wait", "deployments", "Wait until a deployment has ended", (*call).wait, shown("The deployment, ended or not.")).
			with(func(o *operation) {
				o.params = []param{{in: "query", name: "timeout", kind: "string", text: "Seconds, or a duration such as 1m30s; 30 s by default, at most 300 s."}}
			}),
	}
}

func artifactOperations() []operation {
	const at = "/api/v1/artifacts/{id}"
	upload := operation{
		method: http.MethodPost, path: at + "/upload", id: "uploadArtifact", tag: "artifacts", summary: "Bring the content",
		text:    "The body is the content. The same bytes once more are answered as the first time; others are a conflict.",
		unkeyed: true, params: []param{digestParam}, bodies: []body{{media: "application/octet-stream", schema: &schema{}}, {media: "*/*", schema: &schema{}}},
		handle: (*call).uploadArtifact, answers: []answer{jsonAnswer(200, "The artifact, complete.", artifact{})},
	}
	put := upload
	put.method, put.id = http.MethodPut, "putArtifact"
	return []operation{
		post("/api/v1/artifacts", "createArtifact", "artifacts", "Make an artifact's record", (*call).createArtifact,
			jsonAnswer(201, "The artifact, without content.", artifact{}, "Location")).with(jsonBody(newArtifact{})).
			with(func(o *operation) { o.params = []param{homeParam} }),
		get("/api/v1/artifacts", "listArtifacts", "artifacts", "Artifacts: all, or a page where page_size is given", (*call).listArtifacts, jsonAnswer(200, "The list.", list[artifact]{})).
			with(func(o *operation) { o.params = append([]param{namespaceParam}, pageParams[:2]...) }),
		get(at, "getArtifact", "artifacts", "One artifact", (*call).getArtifact, jsonAnswer(200, "The artifact.", artifact{})),
		{
			method: http.MethodDelete, path: at, id: "deleteArtifact", tag: "artifacts", summary: "Remove an artifact that nothing uses",
			handle: (*call).deleteArtifact, answers: []answer{noContent("It is gone.")},
		},
		upload, put,
		get(at+"/download", "downloadArtifact", "artifacts", "The content", (*call).download,
			answer{code: 200, text: "All of it.", media: []string{"*/*"}, headers: []string{"ETag", "Repr-Digest"}},
			answer{code: 206, text: "The range that was asked for.", media: []string{"*/*"}, headers: []string{"ETag", "Repr-Digest"}},
			answer{code: 304, text: "As If-None-Match has it."}),
	}
}

func tusOperations() []operation {
	const at = "/api/v1/uploads/{id}"
	resumable := param{in: "header", name: "Tus-Resumable", kind: "string", text: "The protocol's version, 1.0.0."}
	length := param{in: "header", name: "Upload-Length", kind: "string", text: "Bytes in all; or Upload-Defer-Length: 1."}
	one := func(method, id, summary string, h func(*call) error, a answer, params ...param) operation {
		return operation{
			method: method, path: at, id: id, tag: "uploads", summary: summary, unkeyed: true, handle: tus(h), answers: []answer{a},
			params: append([]param{resumable}, params...),
		}
	}
	options := func(path, id string) operation {
		return operation{
			method: http.MethodOptions, path: path, id: id, tag: "uploads", summary: "What is understood of tus", access: readers,
			handle: tus((*call).tusOptions), answers: []answer{noContent("In headers.", "Tus-Version", "Tus-Extension")},
		}
	}
	patch := one(http.MethodPatch, "appendUpload", "Bring the part that starts at an offset", (*call).tusPatch, noContent("It is here.", "Upload-Offset"),
		param{in: "header", name: "Upload-Offset", kind: "string", text: "How many bytes are here."}, digestParam)
	patch.bodies = []body{{media: tusMedia, schema: &schema{}}}
	return []operation{
		options("/api/v1/uploads", "uploadOptions"), options(at, "uploadOptionsOf"),
		{
			method: http.MethodPost, path: "/api/v1/uploads", id: "createUpload", tag: "uploads", summary: "Begin a resumable upload (tus 1.0.0)",
			text: "The upload is an artifact and has its id.", unkeyed: true, handle: tus((*call).tusCreate),
			params:  []param{resumable, length, {in: "header", name: "Upload-Metadata", kind: "string", text: "filename, filetype and namespace, in base64."}},
			answers: []answer{{code: 201, text: "It has begun.", headers: []string{"Location"}}},
		},
		one(http.MethodHead, "uploadOffset", "How much is here", (*call).tusHead, answer{code: 200, text: "In headers.", headers: []string{"Upload-Offset", "Upload-Length"}}),
		patch,
		one(http.MethodDelete, "deleteUpload", "End an upload", (*call).tusDelete, noContent("It is gone.")),
	}
}

func tokenOperations() []operation {
	op := func(o *operation) { o.access = operator }
	return []operation{
		post("/api/v1/tokens", "createToken", "tokens", "Make a token, for the operator", (*call).createToken,
			jsonAnswer(201, "The token with its secret, which is shown only now.", token{}, "Location")).with(jsonBody(newToken{})).
			with(func(o *operation) { o.access, o.unkeyed = operator, true }),
		get("/api/v1/tokens", "listTokens", "tokens", "Tokens, without secrets", (*call).listTokens, jsonAnswer(200, "The tokens.", tokens{})).with(op),
		{
			method: http.MethodDelete, path: "/api/v1/tokens/{id}", id: "revokeToken", tag: "tokens", summary: "End a token",
			access: operator, handle: (*call).revokeToken, answers: []answer{noContent("It is of no use any more.")},
		},
	}
}
