//! What each mistake is answered with, word for word: these sentences are what an operator gets.

mod idp;
mod providers;

use rstest::rstest;

use super::*;

fn problems(text: &str, environment: &Environment) -> String {
    match parse(text, environment) {
        Ok(config) => panic!("nothing is wrong: {config:?}"),
        Err(problems) => problems.to_string(),
    }
}

/// Keys, kinds of values, and what is put into them.
#[rstest]
#[case(
    "serverr: {}",
    &["c.yaml:1:1: serverr: unknown key; did you mean server?"]
)]
#[case(
    "server: { isuer: https://a.com }",
    &[
        "c.yaml:1:9: server.issuer: is missing: the URL at which clients reach Chancery, such as https://auth.acme.com",
        "c.yaml:1:11: server.isuer: unknown key; did you mean issuer?",
    ]
)]
#[case(
    "server: [a]",
    &["c.yaml:1:9: server: must be a mapping: lines of key: value"]
)]
#[case(
    "server: { issuer: { a: b }, name: [x], trusted_proxies: 10.0.0.0/8 }",
    &[
        "c.yaml:1:19: server.issuer: must be a single value, not a mapping",
        "c.yaml:1:35: server.name: must be a single value, not a list",
        "c.yaml:1:57: server.trusted_proxies: must be a list: [a, b], or lines that begin with -",
    ]
)]
#[case(
    "server: { issuer: https://a.com, name: ~, contact: '' }",
    &[
        "c.yaml:1:40: server.name: has no value; give it one or remove the key",
        "c.yaml:1:52: server.contact: is empty",
    ]
)]
#[case(
    "server:\n  issuer: ${ISSUER}\n  name: ${file:nope}",
    &[
        "c.yaml:2:11: server.issuer: the environment variable ISSUER is not set",
        "c.yaml:3:9: server.name: the file nope cannot be read: there is none",
    ]
)]
#[case(
    "server: { issuer: https://a.com, name: a\n",
    &["c.yaml:2:9: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'"]
)]
#[case(
    "presets: nowhere",
    &["c.yaml:1:10: presets: the folder nowhere cannot be read: there is none"]
)]
fn keys(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "server: { issuer: https://a.com/, listen: 9000, admin_listen: x }",
    &[
        "c.yaml:1:19: server.issuer: an issuer is written without a trailing slash",
        "c.yaml:1:43: server.listen: must be an IP address and a port, such as 0.0.0.0:9000 or [::1]:9000",
        "c.yaml:1:63: server.admin_listen: must be an IP address and a port, such as 0.0.0.0:9000 or [::1]:9000",
    ]
)]
#[case(
    "server: { issuer: https://a.com, listen: 127.0.0.1:9001 }",
    &["c.yaml:1:9: server.admin_listen: has the same port as listen"]
)]
#[case(
    "server: { issuer: https://a.com, trusted_proxies: [0.0.0.0/0, q] }",
    &[
        "c.yaml:1:52: server.trusted_proxies[0]: covers every address there is; name the proxies, or anybody can pretend to be anybody",
        "c.yaml:1:63: server.trusted_proxies[1]: must be a network or an address, such as 10.0.0.0/8 or 192.0.2.7",
    ]
)]
#[case(
    "server: { issuer: https://a.com, default_resource: x }",
    &["c.yaml:1:52: server.default_resource: no resource has this name"]
)]
fn server(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "database: {}",
    &["c.yaml:1:11: database.url: is missing: where rows are kept, such as sqlite://chancery.db or postgres://user:password@host/chancery"]
)]
#[case(
    "database: { url: mysql://u:p@h/d }",
    &["c.yaml:1:18: database.url: must begin with sqlite:// or postgres://"]
)]
fn database(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "encryption:",
    &["c.yaml:1:11: encryption.keys: is missing: the key that seals secrets in the database; chancery keys generate makes one"]
)]
#[case(
    "encryption: { keys: [] }",
    &["c.yaml:1:21: encryption.keys: is missing: the key that seals secrets in the database; chancery keys generate makes one"]
)]
#[case(
    "encryption: { keys: [{ id: a b, key: x }, { id: c }] }",
    &[
        "c.yaml:1:28: encryption.keys[0].id: must be 1 to 64 of a-z, A-Z, 0-9, -, _ and .",
        "c.yaml:1:38: encryption.keys[0].key: is not base64; it must be 32 random bytes in base64, as chancery keys generate makes them",
        "c.yaml:1:43: encryption.keys[1].key: is missing: 32 random bytes in base64, as chancery keys generate makes them",
    ]
)]
#[case(
    "encryption: { keys: [{ id: a, key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= }] }",
    &["c.yaml:1:36: encryption.keys[0].key: is no random key but a pattern or a text; it must be 32 random bytes in base64, as chancery keys generate makes them"]
)]
#[case(
    "encryption: { keys: [{ id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }, { id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }] }",
    &["c.yaml:1:21: encryption.keys: has two keys with the id a; sealed values name theirs by it"]
)]
#[case(
    "encryption: { keys: [{ id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c=, transit: { address: 'http://vault.acme.com', mount: a//b, ca: x } }] }",
    &[
        "c.yaml:1:36: encryption.keys[0].key: an encryption key is in one place, and here is transit too",
        "c.yaml:1:91: encryption.keys[0].transit.key: is missing: the name of the key in the Transit engine",
        "c.yaml:1:91: encryption.keys[0].transit: lacks a way to log in: token, token_file or approle",
        "c.yaml:1:102: encryption.keys[0].transit.address: must begin with https://; plain http is for an agent on this machine",
        "c.yaml:1:134: encryption.keys[0].transit.mount: must be a path such as transit or teams/auth/transit",
        "c.yaml:1:144: encryption.keys[0].transit.ca: must be certificates in PEM, such as ${file:vault-ca.pem}",
    ]
)]
#[case(
    "encryption: { keys: [{ id: a, transit: { address: 'https://vault.acme.com', key: k, token: t, approle: { role_id: a b } } }] }",
    &[
        "c.yaml:1:104: encryption.keys[0].transit.approle.secret_id: is missing: the role's secret id",
        "c.yaml:1:104: encryption.keys[0].transit.approle: there is one way to log in, and here is token too",
        "c.yaml:1:115: encryption.keys[0].transit.approle.role_id: must be in plain characters, without spaces",
    ]
)]
fn encryption(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "registration: { dynamic: tokn }",
    &["c.yaml:1:26: registration.dynamic: unknown value; did you mean token?"]
)]
#[case(
    "registration: { dynamic: token }",
    &["c.yaml:1:15: registration.token: is missing: what a client must present to register"]
)]
#[case(
    "registration: { token: hunter2hunter2hunter2 }",
    &["c.yaml:1:24: registration.token: is only asked for with dynamic: token"]
)]
#[case(
    "registration: { dynamic: token, token: short }",
    &["c.yaml:1:40: registration.token: must be a secret of at least 16 random characters"]
)]
#[case(
    "registration: { documents: { allow_hosts: ['*.com', a b] } }",
    &[
        "c.yaml:1:44: registration.documents.allow_hosts[0]: a host here is a name such as claude.ai, *.acme.com, or * for every host",
        "c.yaml:1:53: registration.documents.allow_hosts[1]: a host here is a name such as claude.ai, *.acme.com, or * for every host",
    ]
)]
fn registration(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "lifetimes: { code: 11m, access_token: 10 }",
    &[
        "c.yaml:1:20: lifetimes.code: must be between 1s and 10m",
        "c.yaml:1:39: lifetimes.access_token: must be a time such as 60s, 10m, 8h or 30d",
    ]
)]
#[case(
    "lifetimes: { refresh_idle: 100d, session_idle: 2d }",
    &[
        "c.yaml:1:28: lifetimes.refresh_idle: is longer than refresh_absolute, so it would never count",
        "c.yaml:1:48: lifetimes.session_idle: is longer than session_absolute, so it would never count",
    ]
)]
#[case(
    "lifetimes: { cod: 1s }",
    &["c.yaml:1:14: lifetimes.cod: unknown key; did you mean code?"]
)]
fn lifetimes(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

#[rstest]
#[case(
    "clients: { 'https://claude.ai/x': {} }",
    &[r#"c.yaml:1:12: clients."https://claude.ai/x": is a URL, which would name a metadata document; name its host in registration.documents.allow_hosts"#]
)]
#[case(
    "clients: { chy_x: {} }",
    &["c.yaml:1:12: clients.chy_x: begins with chy_, as the ids that Chancery itself gives"]
)]
#[case(
    "clients: { a: {} }",
    &["c.yaml:1:15: clients.a: can do nothing: it needs redirect_uris to sign people in, or serves"]
)]
#[case(
    "clients: { a: { redirect_uris: [http://a.com/cb] } }",
    &["c.yaml:1:33: clients.a.redirect_uris[0]: an http:// redirect_uri is only for 127.0.0.1, [::1] and localhost"]
)]
#[case(
    "clients: { a: { grant_types: [authorization_code] } }",
    &["c.yaml:1:15: clients.a.redirect_uris: is missing: where codes are sent for authorization_code"]
)]
#[case(
    "clients: { a: { redirect_uris: [https://a.com/cb], grant_types: [refresh_tokn] } }",
    &[
        "c.yaml:1:32: clients.a.redirect_uris: is of no use without authorization_code among grant_types",
        "c.yaml:1:66: clients.a.grant_types[0]: no grant_type has this name; did you mean refresh_token?",
    ]
)]
#[case(
    "clients: { a: { grant_types: [refresh_token] } }",
    &["c.yaml:1:30: clients.a.grant_types: has refresh_token but no grant that would give one"]
)]
#[case(
    "clients: { a: { secret: hunter2, serves: ticket } }",
    &[
        "c.yaml:1:25: clients.a.secret: must be a secret of at least 16 random characters",
        "c.yaml:1:42: clients.a.serves: no resource has this name",
    ]
)]
#[case(
    "clients: { a: { serves: t } }",
    &[
        "c.yaml:1:15: clients.a.secret: is missing: what the server of a resource proves itself with",
        "c.yaml:1:25: clients.a.serves: no resource has this name",
    ]
)]
#[case(
    "clients: { a: { grant_types: [client_credentials] } }",
    &[
        "c.yaml:1:15: clients.a.secret: is missing: client_credentials needs a secret, jwks or jwks_uri",
        "c.yaml:1:15: clients.a.resources: is missing: what client_credentials gives, such as tickets: [\"tickets:read\"]",
    ]
)]
#[case(
    "clients: { 01890a5d-ac96-774b-bcce-b302099a8057: { secret: 0123456789abcdef, grant_types: [client_credentials], resources: { r: [x] } } }",
    &[
        "c.yaml:1:50: clients.01890a5d-ac96-774b-bcce-b302099a8057: is a UUID, as the ids of people are: as the sub of a token it could be taken for one",
        "c.yaml:1:126: clients.01890a5d-ac96-774b-bcce-b302099a8057.resources.r: unknown key",
    ]
)]
#[case(
    "clients: { a: { jwks: '{\"keys\":[]}', secret: 0123456789abcdef, redirect_uris: [https://a.com/cb] } }",
    &[
        "c.yaml:1:23: clients.a.jwks: holds no public key that could prove a signature; a private one must not be in it",
        "c.yaml:1:23: clients.a.jwks: a client proves itself in one way, and here is secret too",
    ]
)]
#[case(
    "clients: { a: { jwks_uri: 'http://a.com/k', assertion_algs: [HS256, ES521], redirect_uris: [https://a.com/cb] } }",
    &[
        "c.yaml:1:27: clients.a.jwks_uri: must begin with https://; plain http is for development, while server.issuer is loopback",
        "c.yaml:1:62: clients.a.assertion_algs[0]: is not accepted: an assertion must be signed with a key that only the client has",
        "c.yaml:1:69: clients.a.assertion_algs[1]: unknown value; known are ES256, EdDSA, RS256, PS256, ES384, RS384, PS384, RS512, PS512",
    ]
)]
#[case(
    "clients: { a: { jwks: nope, redirect_uris: [https://a.com/cb] } }",
    &["c.yaml:1:23: clients.a.jwks: must be a JSON Web Key Set, such as ${file:agent.jwks.json}"]
)]
#[case(
    "clients: { a: { assertion_algs: [ES256], redirect_uris: [https://a.com/cb], resources: {} } }",
    &[
        "c.yaml:1:33: clients.a.assertion_algs: is of no use without jwks or jwks_uri",
        "c.yaml:1:88: clients.a.resources: is of no use without client_credentials among grant_types",
    ]
)]
#[case(
    "resources: { r: { uri: https://r.com, name: R, scopes: { x: { description: X, default: true } } } }\nclients: { a: { secret: 0123456789abcdef, grant_types: [client_credentials], resources: { r: [z] } } }",
    &["c.yaml:2:95: clients.a.resources.r[0]: the resource has no scope of this name; did you mean x?"]
)]
fn clients(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

/// What the server of `t` may use elsewhere.
#[rstest]
#[case("serves: t, exchange: { w: { read: [see] } }", &[])]
#[case(
    "exchange: { w: { read: [see] } }",
    &[
        "c.yaml:4:15: clients.a: can do nothing: it needs redirect_uris to sign people in, or serves",
        "c.yaml:4:53: clients.a.exchange: is of no use without serves: a server exchanges the tokens that it is sent",
    ]
)]
#[case(
    "serves: s, exchange: { w: { read: [see] } }",
    &["c.yaml:4:51: clients.a.serves: no resource has this name; did you mean t?"]
)]
#[case(
    "serves: t, exchange: { t: { read: [read] }, v: { read: [see] } }",
    &[
        "c.yaml:4:66: clients.a.exchange.t: is the resource that it serves itself",
        "c.yaml:4:87: clients.a.exchange.v: no resource has this name; did you mean t?",
    ]
)]
#[case(
    "serves: t, exchange: { w: { red: [see], write: [sea] } }",
    &[
        "c.yaml:4:71: clients.a.exchange.w.red: unknown key; did you mean read?",
        "c.yaml:4:91: clients.a.exchange.w.write[0]: the resource has no scope of this name; did you mean see?",
    ]
)]
#[case(
    "serves: t, exchange: { w: { read: [] } }",
    &["c.yaml:4:77: clients.a.exchange.w.read: an empty list could mean nobody or everybody; name somebody or remove the key"]
)]
#[case(
    "serves: t, exchange: { w: {} }",
    &["c.yaml:4:69: clients.a.exchange.w: names no scope; say what one is worth there, such as \"tickets:read\": [\"wiki:read\"]"]
)]
#[case(
    "serves: t, grant_types: ['urn:ietf:params:oauth:grant-type:token-exchange']",
    &["c.yaml:4:68: clients.a.grant_types[0]: is not named here: the key exchange says what may be exchanged"]
)]
fn exchange(#[case] keys: &str, #[case] expected: &[&str]) {
    let text = format!(
        "resources:
  t: {{ uri: https://t.acme.com, name: T, scopes: {{ read: {{ description: R, default: true }}, write: {{ description: W }} }} }}
  w: {{ uri: https://w.acme.com, name: W, scopes: {{ see: {{ description: S, default: true }} }} }}
clients: {{ a: {{ secret: 0123456789abcdef, {keys} }} }}"
    );
    if expected.is_empty() {
        let config = Config::parse(&completed(&text), "c.yaml", &Environment::of([]));
        assert!(config.is_ok(), "{:?}", config.err());
    } else {
        assert_eq!(problems(&text, &Environment::of([])), expected.join("\n"));
    }
}

/// What tokens are for at a vendor is said once.
#[rstest]
#[case("preset: mcp, url: https://m.acme.com, vendor: { token_params: { resource: x } }", &["token_params"])]
#[case("preset: mcp, url: https://m.acme.com, vendor: { authorize_params: { resource: x } }", &["authorize_params"])]
#[case("preset: mcp, url: https://m.acme.com, vendor: { refresh_params: { resource: x } }", &["refresh_params"])]
#[case(
    "preset: client-credentials, token_url: https://v.acme.com/t, client_id: c, client_secret: s, \
     vendor: { token_params: { resource: x } }",
    &[]
)]
fn resource_of_a_connection(#[case] keys: &str, #[case] expected: &[&str]) {
    let config = Config::parse(
        &completed(&format!("connections: {{ g: {{ {keys} }} }}")),
        "c.yaml",
        &Environment::of([]),
    );
    let found: Vec<_> = config.err().iter().map(ToString::to_string).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|key| format!("sends resource already, which is its url: take it out of vendor.{key}"))
        .collect();
    assert!(
        found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| a.contains(b)),
        "{found:?}"
    );
}

/// A client that connections are opened to while people are away.
#[rstest]
#[case("{ secret: 0123456789abcdef }", &[])]
#[case("{}", &["c.yaml:2:17: clients.job.secret: is missing: what it proves itself with as connections.g.offline says"])]
fn jobs(#[case] client: &str, #[case] expected: &[&str]) {
    let text = format!(
        "connections: {{ g: {{ preset: github, client_id: c, client_secret: s, offline: {{ clients: [job] }} }} }}
clients: {{ job: {client} }}"
    );
    if expected.is_empty() {
        let config = Config::parse(&completed(&text), "c.yaml", &Environment::of([])).unwrap();
        assert!(config.clients.values().all(|client| client.offline));
    } else {
        assert_eq!(problems(&text, &Environment::of([])), expected.join("\n"));
    }
}

#[rstest]
#[case(
    "resources: { b: {} }",
    &[
        "c.yaml:1:17: resources.b.uri: is missing: the URL of the MCP server, such as https://mcp.acme.com/tickets",
        "c.yaml:1:17: resources.b.name: is missing: what people call it",
        "c.yaml:1:17: resources.b.scopes: is missing: what can be asked for, each with a description",
    ]
)]
#[case(
    "resources: { a: { uri: http://m.acme.com, name: A, scopes: { x: { description: X, default: true } } } }",
    &["c.yaml:1:24: resources.a.uri: must begin with https://; plain http is for development, while server.issuer is loopback"]
)]
#[case(
    "resources: { a: { uri: https://localhost/x, name: A, scopes: { x: { description: X, default: true } } } }",
    &["c.yaml:1:24: resources.a.uri: must not point to this machine; that is for development, while server.issuer is loopback"]
)]
#[case(
    "resources: { a: { uri: 'https://m.acme.com/#x', name: A, scopes: { x: { description: X, default: true } } } }",
    &["c.yaml:1:24: resources.a.uri: a resource has no fragment (RFC 8707 §2)"]
)]
#[case(
    "resources: { a: { uri: https://m.acme.com, name: A, scopes: {} } }",
    &["c.yaml:1:61: resources.a.scopes: is missing: what can be asked for, each with a description"]
)]
#[case(
    "resources: { a: { uri: https://m.acme.com, name: A, scopes: { openid: {}, a b: {}, c: { default: maybe } } } }",
    &[
        "c.yaml:1:63: resources.a.scopes.openid: belongs to OpenID Connect; give the resource's own another name",
        r#"c.yaml:1:75: resources.a.scopes."a b": a scope is 1 to 128 printable ASCII characters without spaces, quotes and backslashes"#,
        "c.yaml:1:87: resources.a.scopes.c.description: is missing: what the consent page says it allows, such as Read tickets",
        "c.yaml:1:98: resources.a.scopes.c.default: must be true or false",
    ]
)]
#[case(
    "resources: { a: { uri: https://m.acme.com, name: A, scopes: { x: { description: X } } } }",
    &["c.yaml:1:61: resources.a.scopes: none says whether it is a default; write default: true on those that a client gets when it asks for none, or default: false on one if it then gets nothing"]
)]
#[case(
    "resources:\n  a: { uri: https://m.acme.com/x, name: A, scopes: { x: { description: X, default: true } }, host_metadata: true }\n  b: { uri: 'HTTPS://m.acme.com:443/x', name: B, scopes: { x: { description: X, default: true } } }\n  c: { uri: https://n.acme.com/x, name: C, scopes: { x: { description: X, default: true } }, host_metadata: true }",
    &[
        "c.yaml:3:13: resources.b.uri: is that of a as well",
        "c.yaml:4:109: resources.c.host_metadata: cannot be: a has the same path, where one document can be",
    ]
)]
fn resources(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

/// What a sound resource may add.
#[rstest]
#[case(
    "allow: { organizations: [acne], providers: [cop], clients: [x, https://claude.ai/c, chy_client_1], groups: [] }",
    &[
        "c.yaml:2:119: resources.r.allow.organizations[0]: no provider has this organization; did you mean acme?",
        "c.yaml:2:138: resources.r.allow.providers[0]: no provider has this name; did you mean corp?",
        "c.yaml:2:154: resources.r.allow.clients[0]: no client has this name, and it is not the URL of a document",
        "c.yaml:2:201: resources.r.allow.groups: an empty list could mean nobody or everybody; name somebody or remove the key",
    ]
)]
#[case(
    "token_claims: [group]",
    &["c.yaml:2:109: resources.r.token_claims[0]: unknown value; did you mean groups?"]
)]
#[case(
    "access_token: 25h",
    &["c.yaml:2:108: resources.r.access_token: must be between 1s and 1d"]
)]
fn resource_rules(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(
        problems(
            &format!(
                "resources:\n  r: {{ uri: https://m.acme.com/t, name: T, scopes: {{ r: {{ description: R, default: true }} }}, {text} }}"
            ),
            &Environment::of([])
        ),
        expected.join("\n")
    );
}

#[rstest]
#[case(&[("CHANCERY__SERVER__ISUER", "x")], "environment variable CHANCERY__SERVER__ISUER: overrides no key; did you mean CHANCERY__SERVER__ISSUER?")]
#[case(&[("CHANCERY__SERVER__LISTEN", "x")], "environment variable CHANCERY__SERVER__LISTEN: server.listen: must be an IP address and a port, such as 0.0.0.0:9000 or [::1]:9000")]
#[case(&[("CHANCERY__PROVIDERS", "x")], "environment variable CHANCERY__PROVIDERS: providers holds several values; a variable can only override a single one")]
#[case(&[("CHANCERY__NOTHING__LIKE__IT", "x")], "environment variable CHANCERY__NOTHING__LIKE__IT: overrides no key")]
#[case(&[("CHANCERY__SERVER__LISTEN", "0.0.0.0:1"), ("chancery__server__listen", "0.0.0.0:2")], "environment variable chancery__server__listen: says the same as CHANCERY__SERVER__LISTEN; set only one")]
#[case(&[("CHANCERY__SERVER__NAME", "")], "environment variable CHANCERY__SERVER__NAME: server.name: is empty")]
#[case(&[("CHANCERY__PROVIDERS__CORP__CLIENT_AUTH", "none")], "c.yaml:5:95: providers.corp.client_secret: is of no use with this client_auth")]
fn overrides(#[case] variables: &[(&str, &str)], #[case] expected: &str) {
    let environment = match variables {
        [one] => Environment::of([*one]),
        [one, two] => Environment::of([*one, *two]),
        _ => panic!("one or two"),
    };
    assert_eq!(problems("", &environment), expected);
}

#[test]
fn a_file_that_is_not_there() {
    let problems = Config::load(Path::new("nowhere/c.yaml"), &Environment::of([])).unwrap_err();
    assert_eq!(problems.to_string(), "nowhere/c.yaml: cannot be read: there is none");
}

/// Names that differ only in what a variable cannot say.
#[test]
fn an_override_that_could_mean_two_entries() {
    let entry = "{ preset: oidc, issuer: https://i.acme.com, client_id: c, client_secret: s, sign_in: { anyone: true } }";
    let text = format!("providers: {{ a-b: {entry}, a_b: {entry} }}");
    assert_eq!(
        problems(&text, &Environment::of([("CHANCERY__PROVIDERS__A_B__CLIENT_ID", "x")])),
        "environment variable CHANCERY__PROVIDERS__A_B__CLIENT_ID: could mean providers.a-b.client_id or \
         providers.a_b.client_id; rename one of them"
    );
}

#[test]
fn a_preset_of_the_operators_is_checked_like_the_configuration() {
    let preset = "title: Acme\nsummary: x\ndocs: nope\nissuer: https://{domian}\nclient_auth: [basic]\n\
                  parameters: { domain: { description: d, example: 1.2, pattern: '[a-z]+' }, name: {} }\nissuerr: x\nsign_in: x\n";
    let environment =
        Environment::of([]).with_file("presets/acme.yaml", preset).with_file("presets/b.yaml", "a: [");
    assert_eq!(
        problems("presets: presets", &environment),
        [
            "presets/acme.yaml:3:7: docs: must be a URL",
            "presets/acme.yaml:4:9: issuer: {domian} is not among the parameters",
            "presets/acme.yaml:5:15: client_auth[0]: unknown value; known are client_secret_basic, \
             client_secret_post, private_key_jwt, none",
            "presets/acme.yaml:6:50: parameters.domain.example: does not match the pattern",
            "presets/acme.yaml:6:76: parameters.name: has a meaning for every provider or connection already",
            "presets/acme.yaml:7:1: issuerr: unknown key; did you mean issuer?",
            "presets/b.yaml:2:1: this is not YAML: while parsing a node, did not find expected node content",
        ]
        .join("\n")
    );
}
