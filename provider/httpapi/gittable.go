package httpapi

import (
	"net/http"

	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

const syncText = `The body is a ref, a commit or a branch, and nothing else; without it, it is the head of the configured branch. Repository, branch and path ` +
	`are the namespace's configuration (PUT /api/v1/namespaces/{namespace}/git). The provider finds the commit, which must be reachable from the configured ` +
	`branch, fetches it, and makes the namespace what its manifests (*.yaml below the path) say, as one change: the results have one entry for each app. ` +
	`What cannot be synced is refused before anything is changed.`

const putGitText = `For the operator: git_only and verify restrain those who may deploy. The body is the whole configuration; what is absent is its default, ` +
	`but for credential and webhook_secret, which stay while the repository does, and are never shown.`

const webhookText = `Deliveries of GitHub, Gitea, Forgejo and GitLab, as JSON. A push to the configured branch, authenticated by webhook_secret, has the branch's ` +
	`head synced; nothing else of the delivery is used. It answers when that is stored: the sync follows, also over a restart.`

// gitOperations are the routes of namespaces that have a repository.
func gitOperations() []operation {
	const at = "/api/v1/namespaces/{namespace}/git"
	shown := jsonAnswer(200, "The configuration, without secrets.", gitStatus{}, "ETag")
	sync := post("/namespaces/{namespace}/sync-from-git", "syncFromGit", "git", "Deploy what the namespace's repository says", (*call).syncFromGit,
		jsonAnswer(200, "Every app is as its manifest says.", deploy.Deployment{}, "Location"),
		jsonAnswer(202, "The deployment goes on: asked for by Prefer.", deploy.Deployment{}, "Location", "Preference-Applied"))
	sync.text, sync.params = syncText, []param{prefer}
	sync.bodies = []body{{media: mediaJSON, value: syncRequest{}, optional: true}}
	alias := sync
	alias.path, alias.id, alias.summary = "/api/v1/namespaces/{namespace}/sync-from-git", "syncNamespaceFromGit", "The same as POST /namespaces/{namespace}/sync-from-git"
	return []operation{
		get(at, "getNamespaceGit", "git", "A namespace's repository, and the commit that was synced", (*call).getGit, shown,
			answer{code: 304, text: "As If-None-Match has it."}),
		{
			method: http.MethodPut, path: at, id: "putNamespaceGit", tag: "git", summary: "Configure a namespace's repository", text: putGitText,
			access: operator, params: []param{ifMatch}, bodies: []body{{media: mediaJSON, value: gitConfig{}}}, handle: (*call).putGit, answers: []answer{shown},
		},
		{
			method: http.MethodDelete, path: at, id: "deleteNamespaceGit", tag: "git", summary: "End the configuration; apps go on",
			access: operator, params: []param{ifMatch}, handle: (*call).deleteGit, answers: []answer{noContent("It is gone.")},
		},
		sync, alias,
		post("/api/v1/namespaces/{namespace}/webhook", "webhook", "git", "Take a git host's webhook", (*call).webhook,
			jsonAnswer(200, "It is ignored, or was taken before.", pull.Outcome{}), jsonAnswer(202, "The branch's head will be synced.", pull.Outcome{})).
			with(func(o *operation) {
				o.text, o.access, o.unkeyed = webhookText, everybody, true
				o.bodies = []body{{media: mediaJSON, schema: &schema{}}}
			}),
	}
}
