//! What the operators of the two companies would write. Secrets and paths come through the environment, as an
//! operator's should.

use crate::dev::walk::REDIRECT_URI;

/// The agent's name, wherever it is registered here.
pub(super) const AGENT: &str = "agent";
/// What the agent is called by the other company.
pub(super) const AGENT_THERE: &str = "acme-agent";
/// What the sample server is called, as a client.
pub(super) const SAMPLE: &str = "notes-server";
/// The accounts that people connect: those that they have at the test provider, as if it were another vendor.
pub(super) const CONNECTION: &str = "profile";
/// What the other company's Chancery is called, as a client of this one.
const OTHER: &str = "other-company";

/// The addresses that the configurations name.
pub(super) struct Addresses<'a> {
    /// Our issuer.
    pub(super) issuer: &'a str,
    /// The test provider's.
    pub(super) provider: &'a str,
    /// The sample server.
    pub(super) sample: &'a str,
    /// A second resource, which no server stands behind.
    pub(super) elsewhere: &'a str,
    /// The other company's issuer.
    pub(super) other: &'a str,
    /// Its sample server.
    pub(super) other_sample: &'a str,
}

/// The scopes of a sample server, described.
const NOTES: &str = "{ \"notes:read\": { description: Read your notes, default: true }, \
                     \"notes:write\": { description: Add and change notes } }";

/// The company whose people sign in at the test provider. Its agent comes in by that provider's word, and goes out to
/// the other company by Chancery's own.
pub(super) fn ours(addresses: &Addresses<'_>) -> String {
    let Addresses { issuer, provider, sample, elsewhere, other, other_sample } = addresses;
    format!(
        "server: {{ issuer: \"{issuer}\", name: Chancery, contact: the person who started it, default_resource: notes }}
{STORAGE}
providers:
  test:
    preset: oidc
    name: Test provider
    issuer: \"{provider}\"
    client_id: chancery-dev
    client_secret: \"${{CHANCERY_DEV_SECRET}}\"
    sign_in: {{ anyone: true }}
    id_jag: {{ allow: {{ notes: {{ clients: [{AGENT}], scopes: [\"notes:read\"] }} }} }}
resources:
  notes: {{ uri: \"{sample}\", name: Sample notes, scopes: {NOTES} }}
  elsewhere:
    uri: \"{elsewhere}\"
    name: Another service
    scopes: {{ \"elsewhere:read\": {{ description: Read elsewhere, default: true }} }}
clients:
  {AGENT}: {{ name: The agent, secret: \"${{CHANCERY_DEV_SECRET}}\", grant_types: [\"{JWT_BEARER}\"] }}
  {SAMPLE}: {{ name: Sample server, secret: \"${{CHANCERY_DEV_SECRET}}\", serves: notes }}
connections:
  {CONNECTION}:
    preset: oauth2
    name: Test vendor
    authorize_url: \"{provider}/authorize\"
    token_url: \"{provider}/token\"
    identity_url: \"{provider}/userinfo\"
    client_id: {CONNECTION}
    client_secret: \"${{CHANCERY_DEV_SECRET}}\"
    scopes: [openid]
    use: {{ notes: {{ \"notes:read\": [profile] }} }}
    vendor: {{ identity: {{ id: [sub], label: name, email: email }} }}
idp:
  clients:
    {AGENT}: {{ name: The agent, secret: \"${{CHANCERY_DEV_SECRET}}\", redirect_uris: [\"{REDIRECT_URI}\"] }}
    {OTHER}:
      name: Another company
      secret: \"${{CHANCERY_DEV_SECRET}}\"
      redirect_uris: [\"{other}/login/partner/callback\"]
  targets:
    {OTHER}:
      audience: \"{other}\"
      name: Another company
      client_ids: {{ {AGENT}: {AGENT_THERE} }}
      token_claims: [email]
      resources: {{ notes: {{ uri: \"{other_sample}\", scopes: {{ \"notes:read\": {{ default: true }} }} }} }}
registration: {{ dynamic: known_clients, documents: {{ allow_hosts: [\"*\"] }} }}
"
    )
}

/// The other company: it takes the word of the first one's Chancery for who a person is and what its agent may.
pub(super) fn others(addresses: &Addresses<'_>) -> String {
    let Addresses { issuer, other, other_sample, .. } = addresses;
    format!(
        "server: {{ issuer: \"{other}\", name: Another company, contact: the person who started it }}
{STORAGE}
providers:
  partner:
    preset: oidc
    name: Chancery of the first company
    issuer: \"{issuer}/idp\"
    client_id: {OTHER}
    client_secret: \"${{CHANCERY_DEV_SECRET}}\"
    sign_in: {{ anyone: true }}
    id_jag: {{ allow: {{ notes: {{ clients: [{AGENT_THERE}], scopes: [\"notes:read\"] }} }} }}
resources:
  notes: {{ uri: \"{other_sample}\", name: Sample notes of another company, scopes: {NOTES} }}
clients:
  {AGENT_THERE}: {{ name: The agent, secret: \"${{CHANCERY_DEV_SECRET}}\", grant_types: [\"{JWT_BEARER}\"] }}
registration: {{ dynamic: known_clients, documents: {{ allow_hosts: [\"*\"] }} }}
"
    )
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const STORAGE: &str = "database: { url: \"${CHANCERY_DEV_DATABASE}\" }
encryption: { keys: [{ id: dev, key: \"${CHANCERY_DEV_KEY}\" }] }";
