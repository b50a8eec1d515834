// npm @modelcontextprotocol/client, the 2.x line. It steps up by itself, asking for the union of scopes. See client.mjs.

import { Client, StreamableHTTPClientTransport as Transport, UnauthorizedError } from '@modelcontextprotocol/client';
import { journey } from './client.mjs';

const isUnauthorized = (error) => error instanceof UnauthorizedError;
await journey({ Client, Transport, isUnauthorized, reauthorize: ({ error }) => isUnauthorized(error) });
