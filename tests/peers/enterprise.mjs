// npm @modelcontextprotocol/client as an agent that its enterprise manages: it exchanges an ID token for an identity
// assertion (ID-JAG) at the provider and that for an access token, and calls a tool. No page is shown to anybody.
//
// $AGENT: server, issuer (the MCP server's), idp (issuer), id_token, at_idp and at_issuer ({ client_id, client_secret }),
// scope?, call ({ name, arguments }). Prints {"granted", "content", "refresh_token"?}.

import assert from 'node:assert/strict';
import {
  Client, CrossAppAccessProvider, StreamableHTTPClientTransport, discoverAndRequestJwtAuthGrant,
} from '@modelcontextprotocol/client';

const { server, issuer, idp, id_token, at_idp, at_issuer, scope, call } = JSON.parse(process.env.AGENT);
const authProvider = new CrossAppAccessProvider({
  clientId: at_issuer.client_id,
  clientSecret: at_issuer.client_secret,
  expectedIssuer: issuer,
  assertion: async ({ authorizationServerUrl, resourceUrl, fetchFn, scope: wanted }) => {
    const { jwtAuthGrant } = await discoverAndRequestJwtAuthGrant({
      idpUrl: idp, audience: new URL(authorizationServerUrl).href.replace(/\/$/, ''), resource: resourceUrl,
      idToken: id_token, clientId: at_idp.client_id, clientSecret: at_idp.client_secret, scope: scope ?? wanted, fetchFn,
    });
    return jwtAuthGrant;
  },
});
const client = new Client({ name: 'agent', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(server), { authProvider }));
const { isError, content } = await client.callTool(call);
assert.ok(!isError, JSON.stringify(content));
const { scope: granted, refresh_token } = authProvider.tokens();
console.log(JSON.stringify({ granted, content, refresh_token }));
await client.close();
