// npm @modelcontextprotocol/client as a program that works for itself (client_credentials, SEP-1046) and calls a tool.
//
// $PROGRAM: server, issuer (the MCP server's), client_id, and client_secret or private_key (PEM) and algorithm, scope?,
// call ({ name, arguments }). Prints {"granted", "access_token", "refresh_token"?, "content"}.

import assert from 'node:assert/strict';
import {
  Client, ClientCredentialsProvider, PrivateKeyJwtProvider, StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';

const program = JSON.parse(process.env.PROGRAM);
const { client_id: clientId, client_secret: clientSecret, private_key: privateKey, algorithm, scope } = program;
const known = { clientId, scope, expectedIssuer: program.issuer };
const authProvider = privateKey
  ? new PrivateKeyJwtProvider({ ...known, privateKey, algorithm })
  : new ClientCredentialsProvider({ ...known, clientSecret });
const client = new Client({ name: 'program', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(program.server), { authProvider }));
const { isError, content } = await client.callTool(program.call);
assert.ok(!isError, JSON.stringify(content));
const { scope: granted, access_token, refresh_token } = authProvider.tokens();
console.log(JSON.stringify({ granted, access_token, refresh_token, content }));
await client.close();
