// An MCP server that trusts Chancery, with the TypeScript SDK: two tools, one scope each.
//
//     npm install @modelcontextprotocol/sdk@1.32.2 express jose zod
//     CHANCERY_ISSUER=https://auth.acme.com SERVER_URL=https://mcp.acme.com/mcp node mcp_server.mjs

import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';

const issuer = process.env.CHANCERY_ISSUER ?? 'http://localhost:9000';
const url = new URL(process.env.SERVER_URL ?? 'http://localhost:9030/mcp'); // as in `resources` of Chancery's configuration

const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const verifier = {
  async verifyAccessToken(token) {
    const rules = { issuer, audience: url.href, typ: 'at+jwt', algorithms: ['ES256'] };
    const { payload } = await jwtVerify(token, keys, rules).catch((error) => {
      // Keys that cannot be fetched are no fault of the token, and not its client's reason to throw it away.
      throw /^ERR_(JWT|JWS|JWKS_NO)/.test(error.code) ? new InvalidTokenError('not a token for this server') : error;
    });
    return { token, clientId: payload.client_id, scopes: payload.scope.split(' '), expiresAt: payload.exp, extra: { sub: payload.sub } };
  },
};

const notes = [];
function notesServer() {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  server.registerTool('read_notes', {}, () => text(notes.join('\n') || 'No notes yet.'));
  server.registerTool('write_note', { inputSchema: { text: z.string() } }, (note) => {
    notes.push(note.text);
    return text('Noted.');
  });
  return server;
}
const text = (text) => ({ content: [{ type: 'text', text }] });

const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(url);
const read = requireBearerAuth({ verifier, requiredScopes: ['notes:read'], resourceMetadataUrl });
const write = requireBearerAuth({ verifier, requiredScopes: ['notes:read', 'notes:write'], resourceMetadataUrl });
const needed = ({ body }) => (body?.params?.name === 'write_note' ? write : read);

const oauthMetadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
const app = express();
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: url, scopesSupported: ['notes:read', 'notes:write'] }));
app.post(url.pathname, express.json(), (request, response, next) => needed(request)(request, response, next), async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  await notesServer().connect(transport);
  await transport.handleRequest(request, response, request.body);
});
app.listen(Number(url.port || 9030), '127.0.0.1');
