package httpapi_test

import (
	"context"

	"apocryph/proto/status"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

func (o *orchestrator) Attach(context.Context, string, string, func(context.Context) (builds.Build, error)) (builds.Build, error) {
	return builds.Build{}, status.New(status.Conflict, "deployment.not_waiting", "this one waits for no build")
}

func (o *orchestrator) Origin(context.Context, string, string) (deploy.AppSource, error) {
	return deploy.AppSource{}, status.New(status.InvalidArgument, "app.no_source", "there is no source")
}
