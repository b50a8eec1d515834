// An example client of the MCP conformance suite (conformance/README.md), started as the suite starts it.
//
// $EXAMPLE: scenario, server, context (what the suite would tell the client, without the scenario's name), file? (a client
// other than everything-client). Prints {"status", "said"}: how it ended, and what it logged.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const { scenario, server, context, file = 'everything-client' } = JSON.parse(process.env.EXAMPLE);
const client = new URL(`conformance/examples/clients/typescript/${file}.ts`, import.meta.url).pathname;
const child = spawn(process.execPath, ['--import', 'tsx', client, server], {
  cwd: new URL('.', import.meta.url),
  stdio: ['ignore', 'pipe', 'pipe'],
  env: {
    ...process.env,
    MCP_CONFORMANCE_SCENARIO: scenario,
    MCP_CONFORMANCE_CONTEXT: JSON.stringify({ name: scenario, ...context }),
  },
});
let said = '';
for (const output of [child.stdout, child.stderr]) output.on('data', (text) => { said += text; });
const [status] = await once(child, 'close');
console.log(JSON.stringify({ status, said }));
