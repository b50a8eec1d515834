// npm @modelcontextprotocol/client, the 2.x line. It steps up by itself, asking for the union of scopes. See client.mjs.
// $CLIENT may say `dpop`: the client then binds its tokens to a key, and proves the key with every request (RFC 9449).

import {
  Client, DpopSession, StreamableHTTPClientTransport as Transport, UnauthorizedError,
} from '@modelcontextprotocol/client';
import { journey } from './client.mjs';

const isUnauthorized = (error) => error instanceof UnauthorizedError;
const session = JSON.parse(process.env.CLIENT).dpop && (await DpopSession.create());
const abilities = session ? { dpop: () => session } : {};
await journey({ Client, Transport, isUnauthorized, reauthorize: ({ error }) => isUnauthorized(error), abilities });
