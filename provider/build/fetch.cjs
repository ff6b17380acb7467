// Downloads the archives that /src/wanted.json lists to /out, and checks each against
// its hash. It is run by node -e in the base image; the provider checks the hashes again.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const tries = 3;
const atOnce = 8;
const maxRedirects = 5;
const idle = 15000;
// NPM_CONFIG_REGISTRY is where all packages come from, whatever the lock file says.
const registry = process.env.NPM_CONFIG_REGISTRY;

const place = (url) => {
  if (!registry) return url;
  const base = registry.replace(/\/*$/, '/');
  if (!/^https?:/.test(url)) return base + url;
  const from = new URL(url);
  return base + from.pathname.slice(1) + from.search;
};

const download = (url, left) => new Promise((resolve, reject) => {
  const client = url.startsWith('http:') ? http : https;
  const request = client.get(url, { timeout: idle }, (answer) => {
    const { statusCode, headers } = answer;
    if (statusCode >= 300 && statusCode < 400 && headers.location && left > 0) {
      answer.resume();
      return resolve(download(new URL(headers.location, url).href, left - 1));
    }
    if (statusCode !== 200) {
      answer.resume();
      const refused = statusCode >= 400 && statusCode < 500 && statusCode !== 408 && statusCode !== 429;
      return reject(Object.assign(new Error(`HTTP ${statusCode}`), refused ? { kind: 'absent' } : {}));
    }
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => resolve(Buffer.concat(parts)));
    answer.on('error', reject);
  });
  request.on('timeout', () => request.destroy(new Error(`nothing for ${idle / 1000} s`)));
  request.on('error', reject);
});

const fetchOne = async ({ url, integrity, file }) => {
  const from = place(url);
  for (let attempt = 1; ; attempt++) {
    try {
      const data = await download(from, maxRedirects);
      const algorithm = integrity.slice(0, integrity.indexOf('-'));
      const sum = crypto.createHash(algorithm).update(data).digest('base64');
      if (`${algorithm}-${sum}` !== integrity) {
        throw Object.assign(new Error(`got ${algorithm}-${sum}, want ${integrity}`), { kind: 'another hash' });
      }
      fs.writeFileSync(`/out/${file}`, data);
      console.log(`${from}: ${data.length} bytes`);
      return;
    } catch (error) {
      // The builder reads these lines: what went wrong, with what, and how.
      console.error(`${error.kind || 'no answer'}: ${from}: ${error.message || error.code || error}`);
      if (attempt === tries || error.kind === 'absent') throw error;
      await new Promise((again) => setTimeout(again, 500 * attempt));
    }
  }
};

const list = JSON.parse(fs.readFileSync('/src/wanted.json', 'utf8'));
const worker = async () => {
  while (list.length) await fetchOne(list.shift());
};
Promise.all(Array.from({ length: atOnce }, worker)).catch(() => process.exit(1));
