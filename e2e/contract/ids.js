// Objects that exist, so that the calls of the tools get beyond "there is none".
'use strict';

// violations are what Prism, in between, found in an answer.
const violations = answer => JSON.parse(answer.headers.get('sl-violations') || '[]').filter(v => v.location[0] === 'response');

// make makes an app with a deployment that has ended, an artifact and a token at
// the API, and returns their ids by the place of the id in a path: /api/v1/PLACE/{id}.
async function make(api, name) {
  const json = async (method, path, body, type = 'application/json') => {
    const answer = await fetch(api + path, { method, body, headers: type && body ? { 'Content-Type': type } : {} });
    const text = await answer.text();
    if (violations(answer).length) throw new Error(`${method} ${path}: not as documented: ${JSON.stringify(violations(answer))} ${text}`);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  };
  const app = await json('POST', '/api/v1/apps', JSON.stringify({ name }));
  const artifact = await json('POST', '/api/v1/artifacts', JSON.stringify({ name }));
  await json('POST', `/api/v1/artifacts/${artifact.id}/upload`, 'not a program', 'application/octet-stream');
  const deployment = await json('POST', `/api/v1/apps/${app.id}/deployments`, JSON.stringify({ artifact_id: artifact.id, process_type: 'tish' }));
  await json('GET', `/api/v1/deployments/${deployment.id}/wait?timeout=60s`);
  const token = await json('POST', '/api/v1/tokens', JSON.stringify({ name, scopes: ['read:default'], expires: '1h' }));
  const form = new FormData();
  form.append('files', new Blob(['<h1>hello</h1>']), 'index.html');
  form.append('manifest', JSON.stringify({ name: name + '-site', runtime: 'static' }));
  await json('POST', '/deploy?dry_run=true', form, '');
  return { apps: app.id, artifacts: artifact.id, uploads: artifact.id, deployments: deployment.id, tokens: token.id, namespace: 'default', name };
}

module.exports = { make, violations };
