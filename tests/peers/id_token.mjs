// Signs a person in at an OpenID provider as an agent would, and prints {"id_token"}: what the agent then exchanges.
//
// $SIGN_IN: issuer, client_id, client_secret?, redirect_uri, scope?, person (options of browser.mjs).

import { createHash, randomBytes } from 'node:crypto';
import { Person } from './browser.mjs';

const { issuer, client_id, client_secret, redirect_uri, scope = 'openid email', person } = JSON.parse(process.env.SIGN_IN);
const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const verifier = randomBytes(32).toString('base64url');
const authorize = new URL(metadata.authorization_endpoint);
authorize.search = new URLSearchParams({
  response_type: 'code', client_id, redirect_uri, scope, nonce: randomBytes(16).toString('hex'), state: 's',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
});
const back = new URL(await new Person(person).walk(authorize.href, redirect_uri));
const body = new URLSearchParams({
  grant_type: 'authorization_code', client_id, redirect_uri, code: back.searchParams.get('code'), code_verifier: verifier,
});
if (client_secret) body.set('client_secret', client_secret);
const tokens = await (await fetch(metadata.token_endpoint, { method: 'POST', body })).json();
if (!tokens.id_token) throw new Error(JSON.stringify(tokens));
console.log(JSON.stringify({ id_token: tokens.id_token, refresh_token: tokens.refresh_token }));
