// npm @modelcontextprotocol/sdk, the 1.x line most clients are built on. See client.mjs.

import { auth, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { journey } from './client.mjs';

// Where it holds a refresh token this SDK answers `insufficient_scope` by refreshing, and gives up when the refreshed
// token is no wider; the application then has to ask again by itself, for the old scopes and the new.
async function reauthorize({ error, host, server, transport }) {
  if (error.code !== 403) return false;
  const scope = [...new Set([...host.saved.scope.split(' '), ...transport._scope.split(' ')])].join(' ');
  host.saved = undefined;
  return (await auth(host, { serverUrl: server, scope })) === 'REDIRECT';
}

await journey({ Client, Transport, isUnauthorized: (error) => error instanceof UnauthorizedError, reauthorize });
