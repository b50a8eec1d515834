// What an MCP client's user does on the first day, the same for both TypeScript SDKs: connect, sign in and consent in
// the browser, call a tool, come back after the access token died, and reach for a tool that needs one scope more.
//
// $CLIENT:
//   server         the MCP server's URL
//   registration   absent: dynamic; { metadata_url }: a client id metadata document; or the client information of a
//                  client that the operator declared ({ client_id, client_secret? })
//   redirect_uri   never opened: the browser stops there
//   scope          what the client asks for when the server names nothing
//   person         options of browser.mjs
//   call, step_up  { name, arguments } of the tools to call; `step_up` must first be refused for want of a scope
//
// Prints one JSON line a step and exits with 1 at the first deviation.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Person } from './browser.mjs';

const options = JSON.parse(process.env.CLIENT);
const { server, registration, call, step_up: stepUp } = options;
const redirectUri = options.redirect_uri ?? 'http://127.0.0.1:33418/callback';

// The SDKs' OAuthClientProvider: what a host application remembers.
class Host {
  redirectUrl = redirectUri;
  clientMetadataUrl = registration?.metadata_url;
  clientMetadata = {
    client_name: 'Peer',
    redirect_uris: [redirectUri],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    ...(options.scope && { scope: options.scope }),
  };
  person = new Person(options.person);
  client = registration?.client_id ? registration : undefined;
  clientInformation = () => this.client;
  saveClientInformation = (client) => { this.client = client; };
  tokens = () => this.saved;
  saveTokens = (tokens) => { this.saved = tokens; };
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => { this.verifier = verifier; };
  discoveryState = () => this.discovered;
  saveDiscoveryState = (state) => { this.discovered = state; };
  state = () => (this.sentState = randomUUID());
  invalidateCredentials = (kind) => { throw new Error(`the SDK gave up its ${kind}`); };

  async redirectToAuthorization(url) {
    this.asked = url.searchParams;
    this.answered = new URL(await this.person.walk(url.href, redirectUri)).searchParams;
  }

  // RFC 9207 §2.4 and OAuth 2.1 §4.1.2, which the SDKs leave to the host in part.
  code() {
    const { answered } = this;
    assert.equal(answered.get('error'), null, answered.get('error_description') ?? undefined);
    assert.equal(answered.get('state'), this.sentState, 'state came back as sent');
    assert.ok(answered.get('iss'), 'the response names its issuer');
    return answered.get('code');
  }
}

let step;
const report = (facts = {}) => console.log(JSON.stringify({ step, ...facts }));

export async function journey({ Client, Transport, isUnauthorized, reauthorize, abilities = {} }) {
  const host = Object.assign(new Host(), abilities);
  let transport;
  const connect = async () => {
    transport = new Transport(new URL(server), { authProvider: host });
    const client = new Client({ name: 'peer', version: '1' });
    await client.connect(transport);
    return client;
  };
  const finish = () => transport.finishAuth(host.code(), host.answered.get('iss'));
  const use = async (client, tool) => {
    const result = await client.callTool(tool);
    assert.ok(!result.isError, JSON.stringify(result.content));
    return result.content;
  };

  step = 'authorize';
  const refusal = await connect().then(() => assert.fail('connected without a token'), (error) => error);
  if (!isUnauthorized(refusal)) throw refusal;
  await finish();
  report({ client_id: host.client.client_id, asked: host.asked.get('scope'), granted: host.saved.scope });

  step = 'call';
  let client = await connect();
  const { tools } = await client.listTools();
  report({ tools: tools.map(({ name }) => name), content: await use(client, call) });

  step = 'refresh';
  const { refresh_token: before } = host.saved;
  assert.ok(before, 'a refresh token was issued');
  host.saved = { ...host.saved, access_token: 'expired' };
  await use(client, call);
  assert.notEqual(host.saved.refresh_token, before, 'a public client’s refresh token is rotated');
  report({ granted: host.saved.scope });

  if (stepUp) {
    step = 'step-up';
    host.person.untick = [];
    const narrow = host.saved.scope.split(' ');
    const pages = host.person.pages.length;
    const error = await use(client, stepUp).then(() => assert.fail('allowed without the scope'), (refused) => refused);
    if (!(await reauthorize({ error, host, server, transport }))) throw error;
    await finish();
    const wide = host.saved.scope.split(' ');
    assert.ok(wide.length > narrow.length && narrow.every((scope) => wide.includes(scope)), `${narrow} grew to ${wide}`);
    assert.ok(host.person.pages.length > pages, 'more scope takes another consent');
    await client.close();
    client = await connect();
    report({ asked: host.asked.get('scope'), granted: host.saved.scope, content: await use(client, stepUp) });
  }

  await client.close();
  step = 'done';
  report({ access_token: host.saved.access_token, token_type: host.saved.token_type });
}

process.on('uncaughtException', (error) => {
  report({ error: error.message, stack: error.stack });
  process.exit(1);
});
