// A grant for npm oidc-provider: it exchanges a person's ID token for an identity assertion (RFC 8693,
// draft-ietf-oauth-identity-assertion-authz-grant §4.3), as enterprises' providers begin to do. Registered in the
// configuration of a test; oidc-provider itself verifies the ID token and authenticates the client.
//
//   table   { "audience": { "client at the provider": { client_id: "client there", resources: ["uri"], scope } } }
//   key     a private JWK of the provider's, which signs
//   users   { login: claims }

import { randomUUID } from 'node:crypto';
import { SignJWT, importJWK } from 'jose';
import { errors } from 'oidc-provider';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const LIFETIME_S = 300;
const PARAMETERS = ['requested_token_type', 'subject_token', 'subject_token_type', 'audience', 'resource', 'scope'];

export function registerIdJag(provider, { table, key, users }) {
  provider.registerGrantType(TOKEN_EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc;
    if (params.requested_token_type !== ID_JAG || params.subject_token_type !== ID_TOKEN) {
      throw new errors.InvalidRequest('only an ID token for an ID-JAG');
    }
    const idToken = await provider.IdToken.validate(params.subject_token, client)
      .catch(() => { throw new errors.InvalidGrant('subject_token'); });
    if (idToken.payload.exp <= Date.now() / 1000) throw new errors.InvalidGrant('subject_token');
    const there = table[params.audience]?.[client.clientId];
    if (!there || (params.resource && !there.resources.includes(params.resource))) {
      throw new errors.InvalidTarget('this client reaches nothing there');
    }
    const asked = params.scope?.split(' ') ?? there.scope.split(' ');
    const scope = asked.filter((one) => there.scope.split(' ').includes(one)).join(' ');
    const { sub, auth_time, acr, amr } = idToken.payload;
    const { email, email_verified, name, groups } = users[sub];
    const claims = { client_id: there.client_id, resource: params.resource ?? there.resources[0], scope, auth_time, acr,
      amr, email, email_verified, name, groups };
    const assertion = await new SignJWT(JSON.parse(JSON.stringify(claims)))
      .setProtectedHeader({ typ: 'oauth-id-jag+jwt', alg: key.alg, kid: key.kid })
      .setIssuer(provider.issuer)
      .setSubject(sub)
      .setAudience(params.audience)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${LIFETIME_S}s`)
      .sign(await importJWK(key, key.alg));
    ctx.body = { issued_token_type: ID_JAG, access_token: assertion, token_type: 'N_A', expires_in: LIFETIME_S, scope };
  }, PARAMETERS);
}
