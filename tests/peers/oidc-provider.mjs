// An OpenID provider that we did not write: npm oidc-provider, configured by one JSON value in $PROVIDER.
//
//   clients          as oidc-provider takes them: client_id, redirect_uris, token_endpoint_auth_method, jwks, …
//   users            { login: claims }; any password signs in, and a user whose claims say `disabled` does not
//   userinfo_only    true: claims are answered by /me and not put into the ID token
//   ttl              oidc-provider's `ttl`, seconds by model name
//   resources        { uri: "scope scope" }: makes it an authorization server for these MCP servers too, with
//                    dynamic registration and ES256 access tokens (to check the other peers, and for measuring)
//   client_credentials  true: programs get tokens for themselves at those (for measuring)
//   id_jag           the table of id_jag.mjs: it then issues identity assertions
//
// Prints {"issuer","control"} in one line when it listens; ends when its standard input closes. The control address
// takes POSTs: /rotate (fresh signing keys, the old ones gone), /users/LOGIN (merges the body into the claims),
// /fail (answers every request with the body's `status` until told `{}`), /slow (lets the body's `ms` pass before it
// works on a request, and again before it answers), /grants (answers how many token requests came in, and of each grant
// type how many were given tokens, and how many refused).

import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { errors, Provider } from 'oidc-provider';
import { registerIdJag } from './id_jag.mjs';

const config = JSON.parse(process.env.PROVIDER ?? '{}');
const users = config.users ?? {};
const grants = { asked: 0, given: {}, refused: {} };
const EMAIL_CLAIMS = ['email', 'email_verified'];

function signingKeys() {
  const kinds = [
    ['rsa', { modulusLength: 2048 }, 'RS256'],
    ['rsa', { modulusLength: 2048 }, 'PS256'],
    ['ec', { namedCurve: 'P-256' }, 'ES256'],
    ['ed25519', {}, 'EdDSA'],
  ];
  return kinds.map(([type, options, alg]) => {
    const key = generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' });
    return { ...key, kid: randomUUID(), alg, use: 'sig' };
  });
}

function account({ oidc }, login) {
  const { disabled, ...claims } = users[login] ?? { disabled: true };
  if (!disabled) return { accountId: login, claims: () => ({ sub: login, ...claims }) };
  if (oidc.route === 'token') return undefined; // invalid_grant
  throw new errors.AccessDenied('this user may not sign in');
}

// Consent here is the provider's own affair: whoever signs in has agreed.
async function grantEverything({ oidc }) {
  const known = oidc.session.grantIdFor(oidc.client.clientId); // a new one would void the codes of the old
  const grant =
    (known && (await oidc.provider.Grant.find(known))) ??
    new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope([...oidc.requestParamOIDCScopes].join(' '));
  for (const [uri, scope] of Object.entries(config.resources ?? {})) grant.addResourceScope(uri, scope);
  await grant.save();
  return grant;
}

function provider(issuer) {
  const keys = signingKeys();
  const otherClaims = Object.values(users).flatMap(Object.keys).filter((claim) => !EMAIL_CLAIMS.includes(claim));
  const instance = new Provider(issuer, {
    clients: config.clients ?? [],
    jwks: { keys },
    cookies: { keys: ['loopback'] },
    claims: { openid: ['sub'], email: EMAIL_CLAIMS, profile: [...new Set(otherClaims)] },
    conformIdTokenClaims: config.userinfo_only ?? false,
    findAccount: account,
    loadExistingGrant: grantEverything,
    pkce: { required: () => false },
    ttl: config.ttl,
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    },
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    ...(config.resources && {
      scopes: ['openid', 'offline_access', ...new Set(Object.values(config.resources).join(' ').split(' '))],
      features: {
        registration: { enabled: true },
        revocation: { enabled: true },
        clientCredentials: { enabled: config.client_credentials ?? false },
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: (_, audience) =>
            ({ audience, scope: config.resources[audience], accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
        },
      },
      issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    }),
  });
  if (config.id_jag) registerIdJag(instance, { table: config.id_jag, key: keys[0], users });
  const count = (outcome) => ({ oidc }) => {
    const type = oidc.params?.grant_type;
    grants[outcome][type] = (grants[outcome][type] ?? 0) + 1;
  };
  instance.on('grant.success', count('given'));
  instance.on('grant.error', count('refused'));
  instance.on('server_error', (_, error) => console.error(error));
  return instance.callback();
}

const listen = (server) =>
  new Promise((ready) => server.listen(config.port ?? 0, '127.0.0.1', () => {
    config.port = 0; // a fixed port is the provider's, never the control's
    ready(`http://127.0.0.1:${server.address().port}`);
  }));

let handler;
let failing;
let slow = 0;
const server = createServer((request, response) => {
  if (request.url === '/token') grants.asked += 1;
  if (slow) {
    const end = response.end.bind(response);
    response.end = (...body) => setTimeout(end, slow, ...body);
    return setTimeout(handler, slow, request, response);
  }
  if (!failing) return handler(request, response);
  response.statusCode = failing;
  response.end();
});
const issuer = await listen(server);
handler = provider(issuer);

const control = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const value = JSON.parse(body || '{}');
  const [, command, login] = request.url.split('/');
  if (command === 'rotate') handler = provider(issuer);
  else if (command === 'users' && login) users[login] = { ...users[login], ...value };
  else if (command === 'fail') failing = value.status;
  else if (command === 'slow') slow = value.ms;
  else if (command === 'grants') response.write(JSON.stringify(grants));
  else response.statusCode = 404;
  response.end();
});

console.log(JSON.stringify({ issuer, control: await listen(control) }));
process.stdin.resume().on('end', () => process.exit());
