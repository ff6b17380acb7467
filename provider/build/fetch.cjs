// Downloads the archives that /src/wanted.json lists to /out, and checks each against
// its hash. It is run by node -e in the base image; the provider checks the hashes again.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const tries = 4;
const atOnce = 8;
const maxRedirects = 5;
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
  const request = client.get(url, { timeout: 60000 }, (answer) => {
    const { statusCode, headers } = answer;
    if (statusCode >= 300 && statusCode < 400 && headers.location && left > 0) {
      answer.resume();
      return resolve(download(new URL(headers.location, url).href, left - 1));
    }
    if (statusCode !== 200) {
      answer.resume();
      return reject(new Error(`${url}: HTTP ${statusCode}`));
    }
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => resolve(Buffer.concat(parts)));
    answer.on('error', reject);
  });
  request.on('timeout', () => request.destroy(new Error(`${url}: no answer for 60 s`)));
  request.on('error', reject);
});

const fetchOne = async ({ url, integrity, file }) => {
  for (let attempt = 1; ; attempt++) {
    try {
      const data = await download(place(url), maxRedirects);
      const algorithm = integrity.slice(0, integrity.indexOf('-'));
      const sum = crypto.createHash(algorithm).update(data).digest('base64');
      if (`${algorithm}-${sum}` !== integrity) throw new Error(`${url}: got ${algorithm}-${sum}, want ${integrity}`);
      fs.writeFileSync(`/out/${file}`, data);
      console.log(`${url}: ${data.length} bytes`);
      return;
    } catch (error) {
      console.error(String(error.message || error));
      if (attempt === tries) throw error;
      await new Promise((again) => setTimeout(again, 500 * attempt));
    }
  }
};

const list = JSON.parse(fs.readFileSync('/src/wanted.json', 'utf8'));
const worker = async () => {
  while (list.length) await fetchOne(list.shift());
};
Promise.all(Array.from({ length: atOnce }, worker)).catch(() => process.exit(1));
