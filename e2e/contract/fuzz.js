// Sends what openapi-fuzzer-core makes of the API's own document, with bodies of
// each JSON type for each field, and lets Prism, a validating proxy, hold every
// answer against the document. A status of 500 or more, an answer that is not as
// documented, and nonsense that is accepted are findings.
//
//   node fuzz.js DIRECT PROXY    both http://HOST:PORT
'use strict';
const fuzzer = require('openapi-fuzzer-core');
const { make, violations } = require('./ids');
const [direct, proxy] = process.argv.slice(2);

// swagger rewrites the OpenAPI 3 document as far as the fuzzer reads it: it wants
// a parameter's type beside its name, and bodies as parameters.
function swagger(doc, known) {
  const definitions = { ...doc.components.schemas };
  const inner = s => JSON.parse(JSON.stringify(s).replaceAll('#/components/schemas/', '#/definitions/'));
  const paths = {};
  for (const [path, methods] of Object.entries(doc.paths)) {
    paths[path] = {};
    for (const [method, op] of Object.entries(methods)) {
      const parameters = (op.parameters || []).map(p => ({
        ...p, ...p.schema, ...(p.in === 'path' ? { example: known[path.split('/')[3]] || 'fuzzed', minLength: 1 } : {}),
      }));
      const schema = op.requestBody && op.requestBody.content['application/json'] && op.requestBody.content['application/json'].schema;
      if (schema) {
        const name = op.operationId + 'Body';
        definitions[name] = schema;
        parameters.push({ name: 'body', in: 'body', schema: { $ref: '#/definitions/' + name } });
      }
      paths[path][method] = { parameters };
    }
  }
  for (const name of Object.keys(definitions)) if (definitions[name].$ref) definitions[name] = doc.components.schemas[definitions[name].$ref.split('/').pop()];
  return inner({ swagger: '2.0', basePath: '', paths, definitions });
}

async function send(spec, base) {
  const { method, path, pathParams = {}, queryParams = {}, body } = spec.request;
  let url = path.replace(/\{(\w+)\}/g, (_, n) => encodeURIComponent(pathParams[n] ?? 'fuzzed'));
  const query = new URLSearchParams(Object.entries(queryParams).map(([k, v]) => [k, String(v)])).toString();
  if (query) url += '?' + query;
  const request = { method: method.toUpperCase(), headers: {}, redirect: 'manual', signal: AbortSignal.timeout(60000) };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers['Content-Type'] = 'application/json';
  }
  const answer = await fetch(base + url, request);
  return { answer, text: await answer.text(), line: `${request.method} ${url} ${request.body || ''}` };
}

async function main() {
  const known = await make(proxy, 'fuzzed');
  const doc = await (await fetch(direct + '/openapi.json')).json();
  const specs = fuzzer.swagger(swagger(doc, known));
  // What deletes goes last, so that the others find their objects.
  specs.sort((a, b) => (a.request.method === 'delete') - (b.request.method === 'delete'));
  const count = {}, findings = [];
  for (const spec of specs) {
    const undocumented = spec.name === 'PATH' || spec.name === 'METHOD'; // Prism answers these itself
    const { answer, text, line } = await send(spec, undocumented ? direct : proxy);
    const key = `${spec.name} ${answer.status}`;
    count[key] = (count[key] || 0) + 1;
    if (answer.status >= 500) findings.push(`${line}: ${answer.status} ${text}`);
    if (violations(answer).length) findings.push(`${line}: not as documented: ${JSON.stringify(violations(answer))} ${answer.status} ${text}`);
    if (answer.status >= 400 && !(answer.headers.get('content-type') || '').startsWith('application/problem+json')) findings.push(`${line}: no problem document: ${answer.status} ${text}`);
    if (undocumented && answer.status < 400) findings.push(`${line}: accepted with ${answer.status}`);
  }
  console.log(count);
  for (const f of findings) console.error('finding: ' + f);
  console.log(`${specs.length} requests, ${findings.length} findings`);
  process.exit(specs.length < 300 || findings.length ? 1 : 0);
}

main().catch(err => { console.error(err); process.exit(1); });
