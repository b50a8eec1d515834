// The authorization-server mode of @modelcontextprotocol/conformance, with somebody at the browser.
//
// $CONFORMANCE: issuer, client_id (a public client that may redirect to http://127.0.0.1:<any port>/callback), resource,
// person (options of browser.mjs), output (a folder for the tool's results). Prints one JSON line a check, and exits
// with 1 unless both succeeded and nothing warned: the tool's own exit code is 0 for what it skipped.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Person } from './browser.mjs';

const MUST_SUCCEED = ['authorization-server-metadata', 'authorization-code-grant'];
const { issuer, client_id: clientId, resource, person, output } = JSON.parse(process.env.CONFORMANCE);

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const port = await freePort();
rmSync(output, { recursive: true, force: true });
const tool = spawn(process.execPath, [
  new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url).pathname,
  'authorization', '--url', issuer, '--client-id', clientId, '--port', String(port), '--output-dir', output,
  ...(resource ? ['--resource', resource] : []),
], { stdio: ['ignore', 'pipe', 'inherit'] });

const said = [];
let failure;
for await (const line of createInterface({ input: tool.stdout })) {
  said.push(line);
  const [url] = /^https?:\S*code_challenge=\S*/.exec(line) ?? [];
  if (!url) continue;
  const back = await new Person(person).walk(url, `http://127.0.0.1:${port}/`).catch((error) => { failure = error; });
  if (failure) tool.kill();
  else await fetch(back);
}

const checks = globSync(`${output}/*/checks.json`).flatMap((file) => JSON.parse(readFileSync(file, 'utf8')));
for (const { id, status, errorMessage: error } of checks) console.log(JSON.stringify({ step: id, status, error }));
const passed = (wanted) => checks.some(({ id, status }) => id === wanted && status === 'SUCCESS');
const notPerfect = checks.some(({ status }) => status === 'FAILURE' || status === 'WARNING');
if (failure || notPerfect || !MUST_SUCCEED.every(passed)) {
  console.error(failure?.message ?? said.join('\n'));
  process.exitCode = 1;
}
