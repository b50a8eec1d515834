// A tool call of an MCP client that can send its person to a page: npm @modelcontextprotocol/sdk, which declares URL
// elicitation and has an error of its own for it.
//
// $CALL: server, token, tool ({ name, arguments }). Prints {"content"} or {"error", "code", "elicitations"}.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const { server, token, tool } = JSON.parse(process.env.CALL);
const client = new Client({ name: 'peer', version: '1' }, { capabilities: { elicitation: { url: {} } } });
const headers = { authorization: `Bearer ${token}` };
await client.connect(new Transport(new URL(server), { requestInit: { headers } }));
const answer = await client.callTool(tool).catch((error) => ({
  error: error.constructor.name, code: error.code, elicitations: error.elicitations,
}));
console.log(JSON.stringify(answer));
await client.close();
