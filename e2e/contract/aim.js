// Points the requests of a Postman collection at objects that exist, with those
// that delete them last in each folder. HEAD goes past Prism, which reads a body
// wherever there is a Content-Type.
//
//   node aim.js DIRECT COLLECTION NAME
'use strict';
const fs = require('fs');
const { make } = require('./ids');
const [direct, file, name] = process.argv.slice(2);

function walk(items, ids) {
  for (const item of items) {
    if (item.item) {
      walk(item.item, ids);
      continue;
    }
    const { request } = item;
    for (const v of request.url.variable || []) v.value = (v.key === 'id' ? ids[request.url.path[2]] : ids[v.key]) || v.value;
    if (request.method === 'HEAD') request.url.host = [direct];
  }
  const last = item => !item.item && item.request.method === 'DELETE';
  items.sort((a, b) => last(a) - last(b));
}

make(direct, name).then(ids => {
  const collection = JSON.parse(fs.readFileSync(file));
  walk(collection.item, ids);
  // Folders with an object's parts before the one whose last call deletes it.
  const rank = ['deployments', 'deploy', 'artifacts', 'uploads', 'apps', 'tokens'];
  collection.item.sort((a, b) => rank.indexOf(a.name) - rank.indexOf(b.name));
  fs.writeFileSync(file, JSON.stringify(collection));
}).catch(err => { console.error(err); process.exit(1); });
