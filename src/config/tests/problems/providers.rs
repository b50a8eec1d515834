//! Mistakes in `providers:`.

use rstest::rstest;

use super::*;
use crate::config::claims::ClaimPath;

/// Entries that say too little to be read further.
#[rstest]
#[case(
    "Corp: { preset: okta }",
    &["c.yaml:2:3: providers.Corp: a name here is 1 to 64 characters of a-z, 0-9, - and _, beginning with a letter or digit"]
)]
#[case(
    "corp: { preset: octa, client_idd: x }",
    &["c.yaml:2:19: providers.corp.preset: no preset has this name; did you mean okta?"]
)]
#[case(
    "corp: text",
    &["c.yaml:2:9: providers.corp: must be a mapping: lines of key: value"]
)]
#[case(
    "corp: {}",
    &["c.yaml:2:9: providers.corp.preset: is missing: which kind of provider this is"]
)]
fn provider_entries(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(&format!("providers:\n  {text}"), &Environment::of([])), expected.join("\n"));
}

/// What presets ask for.
#[rstest]
#[case(
    "preset: oidc, client_id: c, client_secret: s",
    &[
        "c.yaml:2:9: providers.corp.issuer: is missing: the provider's issuer, exactly as its discovery document says it, with or without a trailing slash, such as https://login.acme.com (issuer in the document at /.well-known/openid-configuration)",
        "c.yaml:2:9: providers.corp.sign_in: is missing: say who may come in by email_domains or require, or write anyone: true",
    ]
)]
#[case(
    "preset: oidc, issuer: http://idp.acme.com, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:9: providers.corp: the issuer http://idp.acme.com must begin with https://; plain http is for development, while server.issuer is loopback"]
)]
#[case(
    "preset: oidc, issuer: https://127.0.0.1, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:9: providers.corp: the issuer https://127.0.0.1 must not point to this machine; that is for development, while server.issuer is loopback"]
)]
#[case(
    "preset: oidc, issuer: https://auth.acme.com/idp, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:9: providers.corp: the issuer https://auth.acme.com/idp is our own: people sign in elsewhere"]
)]
#[case(
    "preset: oidc, issuer: https://auth.acme.com/, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:9: providers.corp: the issuer https://auth.acme.com/ is our own: people sign in elsewhere"]
)]
#[case(
    "preset: oidc, issuer: nope, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:33: providers.corp.issuer: must be the provider's issuer, exactly as its discovery document says it, with or without a trailing slash, such as https://login.acme.com (issuer in the document at /.well-known/openid-configuration)"]
)]
#[case(
    "preset: okta, domain: https://acme.okta.com/, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:33: providers.corp.domain: must be the host of your Okta organization, such as acme.okta.com (Admin Console: the menu under your name, top right)"]
)]
#[case(
    "preset: keycloak, url: https://k.acme.com/, realm: a, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:34: providers.corp.url: must be the address of the Keycloak server, with /auth behind it for old versions, such as https://sso.acme.com (the address of the Admin Console, up to /admin)"]
)]
#[case(
    "preset: entra, tenant: acme.com, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:34: providers.corp.tenant: must be the directory (tenant) ID, or organizations, common or consumers for several tenants, such as 8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10 (entra.microsoft.com: Entra ID, Overview, Tenant ID)"]
)]
#[case(
    "preset: entra, tenant: common, client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:9: providers.corp.tenants: is missing: the tenants whose people are let in, since every tenant in the world uses tenant: common"]
)]
#[case(
    "preset: entra, tenant: organizations, tenants: [], client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:58: providers.corp.tenants: an empty list could mean nobody or everybody; name somebody or remove the key"]
)]
#[case(
    "preset: entra, tenant: consumers, tenants: ['*'], client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:55: providers.corp.tenants[0]: must be the tenant ID of an organization that is let in, such as 8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10 (entra.microsoft.com of that organization: Entra ID, Overview, Tenant ID)"]
)]
#[case(
    "preset: entra, tenant: 8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10, tenants: [8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10], client_id: c, client_secret: s, sign_in: { anyone: true }",
    &["c.yaml:2:81: providers.corp.tenants: is only asked for with tenant common, organizations, consumers"]
)]
#[case(
    "preset: entra, tenant: 8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10, client_id: c, client_secret: s, sign_in: { anyone: true }, authorize_params: { resource: x, state: y, prompt: login }",
    &[
        "c.yaml:2:151: providers.corp.authorize_params.resource: is never sent: with v2.0 scopes Entra answers it with the error AADSTS9010010",
        "c.yaml:2:164: providers.corp.authorize_params.state: is set by Chancery itself",
    ]
)]
fn provider_parameters(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(
        problems(&format!("providers:\n  corp: {{ {text} }}"), &Environment::of([])),
        expected.join("\n")
    );
}

/// Who may come in, at an upstream that vouches for addresses and knows hosted domains but no groups.
#[rstest]
#[case(
    "sign_in: {}",
    &["c.yaml:2:68: providers.corp.sign_in: lets nobody in: say who may come in by email_domains or require, or write anyone: true"]
)]
#[case(
    "sign_in: { anyone: false }",
    &["c.yaml:2:68: providers.corp.sign_in: lets nobody in: say who may come in by email_domains or require, or write anyone: true"]
)]
#[case(
    "sign_in: { anyone: true, email_domains: [acme.com] }",
    &["c.yaml:2:78: providers.corp.sign_in.anyone: stands beside rules that not anyone meets; remove one or the other"]
)]
#[case(
    "sign_in: { email_domains: ['@acme.com'] }",
    &["c.yaml:2:86: providers.corp.sign_in.email_domains[0]: must be the part of an address behind the @, such as acme.com"]
)]
#[case(
    "sign_in: { require: { group: [x] } }",
    &["c.yaml:2:81: providers.corp.sign_in.require.group: unknown key; did you mean groups?"]
)]
#[case(
    "sign_in: { require: { groups: [x], tenants: [y] } }",
    &["c.yaml:2:89: providers.corp.sign_in.require.groups: can never be met: no claim is known to hold groups; name it in claims.groups"]
)]
#[case(
    "sign_in: { require: { hosted_domains: [], claims: { a: [] } } }",
    &[
        "c.yaml:2:97: providers.corp.sign_in.require.hosted_domains: an empty list could mean nobody or everybody; name somebody or remove the key",
        "c.yaml:2:109: providers.corp.sign_in.require.claims: a has no values, so nobody could meet it",
    ]
)]
#[case(
    "sign_in: { email_domains: [] }",
    &["c.yaml:2:85: providers.corp.sign_in.email_domains: an empty list could mean nobody or everybody; name somebody or remove the key"]
)]
fn entry_rules(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(
        problems(
            &format!("providers:\n  corp: {{ preset: google, client_id: c, client_secret: s, {text} }}"),
            &Environment::of([])
        ),
        expected.join("\n")
    );
}

/// What assertions are worth: each resource with its clients and scopes, all of them declared.
#[rstest]
#[case("{}", &["c.yaml:3:13: providers.corp.id_jag.allow: is missing: what assertions give, by resource, each with clients and scopes"])]
#[case("{ allow: {} }", &["c.yaml:3:22: providers.corp.id_jag.allow: is missing: what assertions give, by resource, each with clients and scopes"])]
#[case(
    "{ alow: {} }",
    &[
        "c.yaml:3:13: providers.corp.id_jag.allow: is missing: what assertions give, by resource, each with clients and scopes",
        "c.yaml:3:15: providers.corp.id_jag.alow: unknown key; did you mean allow?",
    ]
)]
#[case(
    "{ allow: { tickets: {} } }",
    &[
        "c.yaml:3:33: providers.corp.id_jag.allow.tickets.clients: is missing: which clients may present assertions for this resource",
        "c.yaml:3:33: providers.corp.id_jag.allow.tickets.scopes: is missing: which scopes of this resource assertions can give",
    ]
)]
#[case(
    "{ allow: { ticket: { clients: [agent], scopes: [read] } } }",
    &["c.yaml:3:24: providers.corp.id_jag.allow.ticket: no resource has this name; did you mean tickets?"]
)]
#[case(
    "{ allow: { tickets: { clients: [agnt, 'https://agent.example/c.json', chy_c1], scopes: [reed] } } }",
    &[
        "c.yaml:3:45: providers.corp.id_jag.allow.tickets.clients[0]: no client has this name, and it is not the URL of a document; did you mean agent?",
        "c.yaml:3:101: providers.corp.id_jag.allow.tickets.scopes[0]: the resource has no scope of this name; did you mean read?",
    ]
)]
#[case(
    "{ allow: { tickets: { clients: [], scopes: [read], claims: { acr: [] } } } }",
    &[
        "c.yaml:3:44: providers.corp.id_jag.allow.tickets.clients: an empty list could mean nobody or everybody; name somebody or remove the key",
        "c.yaml:3:72: providers.corp.id_jag.allow.tickets.claims: acr has no values, so nobody could meet it",
    ]
)]
#[case(
    "{ allow: { tickets: { clients: [agent], scopes: [read], groups: [staff] } } }",
    &["c.yaml:3:77: providers.corp.id_jag.allow.tickets.groups: can never be met: no claim is known to hold groups; name it in claims.groups"]
)]
fn assertions(#[case] text: &str, #[case] expected: &[&str]) {
    let text = format!(
        "providers:
  corp: {{ preset: google, client_id: c, client_secret: s, sign_in: {{ anyone: true }},
    id_jag: {text} }}
clients: {{ agent: {{ grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'] }} }}
resources:
  tickets: {{ uri: https://t.acme.com, name: T, scopes: {{ read: {{ description: R, default: true }} }} }}"
    );
    assert_eq!(problems(&text, &Environment::of([])), expected.join("\n"));
}

/// A client that is let in by the one rule is let in by its own entry too.
#[rstest]
#[case("redirect_uris: [\"http://127.0.0.1/cb\"]", "grant_types: [authorization_code]")]
#[case("secret: 0123456789abcdef, serves: tickets", "grant_types: []")]
fn who_presents_assertions_has_the_grant(#[case] client: &str, #[case] grants: &str) {
    let allow = "allow: { tickets: { clients: [agent, 'https://agent.example/c.json'], scopes: [read] } }";
    let good = "grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer']";
    let text = with_id_jag(allow);
    assert!(text.contains(good));
    let found = problems(&text.replace(good, &format!("{client}, {grants}")), &Environment::of([]));
    let expected = "clients.agent.grant_types: lacks urn:ietf:params:oauth:grant-type:jwt-bearer, by which \
                    providers.corp.id_jag.allow.tickets has it come";
    assert!(found.ends_with(expected) && found.lines().count() == 1, "{found}");
}

/// Who signs assertions: others than we, each under one provider's rules.
#[rstest]
#[case("issuers: []", &["issuers: is empty, so no assertion could be accepted"])]
#[case("issuers: [{}]", &["issuers[0].issuer: is missing: the iss of its assertions, byte for byte"])]
#[case("issuers: [{ issuer: http://a.example }]", &["issuers[0].issuer: must begin with https://; plain http is for development, while server.issuer is loopback"])]
#[case("issuers: [{ issuer: \"https://a.example?x\" }]", &["issuers[0].issuer: must not have a query"])]
#[case("issuers: [{ issuer: https://auth.acme.com }]", &["issuers[0].issuer: is our own: what we sign ourselves is for others"])]
#[case("issuers: [{ issuer: https://auth.acme.com/idp }]", &["issuers[0].issuer: is our own: what we sign ourselves is for others"])]
#[case("issuers: [{ issuer: https://a.example }, { issuer: https://a.example }]", &["issuers: names https://a.example twice"])]
#[case("issuers: [{ issuer: https://a.example, jwks_uri: https://127.0.0.1/k }]", &["issuers[0].jwks_uri: must not point to this machine; that is for development, while server.issuer is loopback"])]
#[case("issuers: [{ issuer: https://a.example, subject: [] }]", &["issuers[0].subject: is empty, so nobody could be told from anybody else"])]
#[case("issuers: [{ issuer: https://a.example, tenants: [] }]", &["issuers[0].tenants: an empty list could mean nobody or everybody; name somebody or remove the key"])]
#[case("issuers: [{ issuer: https://a.example, tenants: [a, b], subject: [sub] }]", &["issuers[0].subject: lacks tenant, so people of two tenants could be taken for one"])]
#[case("issuers: [{ issuer: https://a.example, tenants: [a, b], same_subjects: true }]", &["issuers[0].same_subjects: cannot be with several tenants: each names people by itself"])]
#[case("issuers: [{ issuer: https://accounts.google.com, subject: [email] }]", &["issuers[0].subject: is not claims.subject, by which people who sign in here are known"])]
#[case("issuers: [{ issuer: https://accounts.google.com, tenants: [a, b] }]", &["issuers[0].subject: lacks tenant, so people of two tenants could be taken for one"])]
#[case("algorithms: [HS256]", &["algorithms[0]: is not accepted: it must be signed with a key that only the upstream has"])]
#[case("algorithms: []", &["algorithms: is empty, so no token could be accepted"])]
#[case("replay: never", &["replay: unknown value; known are single_use, same_client"])]
#[case("default_resource: ticket", &["default_resource: no resource has this name; did you mean tickets?"])]
#[case("max_lifetime: 2h", &["max_lifetime: must be between 1s and 1h"])]
fn assertions_of_whom(#[case] keys: &str, #[case] expected: &[&str]) {
    let allow = "allow: { tickets: { clients: [agent], scopes: [read] } }";
    let found = problems(&with_id_jag(&format!("{allow}, {keys}")), &Environment::of([]));
    let found: Vec<_> =
        found.lines().map(|line| line.split("providers.corp.id_jag.").nth(1).unwrap()).collect();
    assert_eq!(found, expected);
}

/// Two providers with the same people may be there, but one of them speaks for the assertions of an issuer.
#[test]
fn an_issuer_of_assertions_has_one_provider() {
    let google = "preset: google, client_id: c, client_secret: s, sign_in: { anyone: true }";
    let id_jag = "id_jag: { allow: { tickets: { clients: [agent], scopes: [read] } } }";
    let text = with_id_jag("allow: { tickets: { clients: [agent], scopes: [read] } }")
        .replace("clients: {", &format!("  other: {{ {google}, {id_jag} }}\nclients: {{"));
    assert_eq!(
        problems(&text, &Environment::of([])),
        "c.yaml:4:95: providers.other.id_jag: takes assertions of https://accounts.google.com, as corp does already"
    );
}

/// Whoever asserts under the issuer by which another provider's people sign in would be those people.
#[rstest]
#[case("https://login.partner.example", "oidc, issuer: https://login.partner.example")]
#[case(
    "https://login.microsoftonline.com/8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10/v2.0",
    "entra, tenant: common, tenants: [8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10]"
)]
fn nobody_asserts_who_signs_in_elsewhere(
    #[case] issuer: &str,
    #[case] preset: &str,
    #[values(true, false)] first: bool,
) {
    let allow = "allow: { tickets: { clients: [agent], scopes: [read] } }";
    let other = format!(
        "  other: {{ preset: {preset}, client_id: c, client_secret: s, sign_in: {{ anyone: true }} }}\n"
    );
    let text = with_id_jag(&format!(
        "{allow}, issuers: [{{ issuer: \"{issuer}\", jwks_uri: https://corp.example/k }}]"
    ));
    let text = if first {
        text.replace("providers:\n", &format!("providers:\n{other}"))
    } else {
        text.replace("clients: {", &format!("{other}clients: {{"))
    };
    let found = problems(&text, &Environment::of([]));
    let expected = format!("id_jag: corp takes assertions of {issuer}, by which people sign in at other");
    assert!(found.ends_with(&expected) && found.lines().count() == 1, "{found}");
}

/// People of several tenants sign in by an issuer for each, so whoever signs assertions has to be named.
#[test]
fn tenants_have_no_issuer_in_common() {
    let text = |keys: &str| {
        with_id_jag(&format!("allow: {{ tickets: {{ clients: [agent], scopes: [read] }} }}{keys}")).replace(
            "preset: google",
            "preset: entra, tenant: organizations, tenants: [8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10]",
        )
    };
    let found = problems(&text(""), &Environment::of([]));
    assert!(found.ends_with("id_jag.issuers: is missing: people sign in by an issuer for each tenant, so say whose assertions count"), "{found}");
    let found = problems(
        &text(", issuers: [{ issuer: https://a.example, same_subjects: true }]"),
        &Environment::of([]),
    );
    assert!(
        found.ends_with("same_subjects: cannot be: people sign in by an issuer for each tenant"),
        "{found}"
    );
}

/// Which claims are a person's key, and under which issuer she is known.
#[rstest]
#[case("", "https://accounts.google.com", &["sub"])]
#[case("issuers: [{ issuer: https://a.example }]", "https://a.example", &["sub"])]
#[case("issuers: [{ issuer: https://a.example, same_subjects: true, subject: [uid] }]", "https://accounts.google.com", &["uid"])]
#[case("issuers: [{ issuer: https://a.example, tenants: [t] }]", "https://a.example", &["tenant", "sub"])]
#[case("issuers: [{ issuer: https://accounts.google.com, tenants: [t] }]", "https://accounts.google.com", &["sub"])]
#[case("issuers: [{ issuer: https://a.example, tenants: [t], same_subjects: true }]", "https://accounts.google.com", &["sub"])]
fn naming(#[case] keys: &str, #[case] known_as: &str, #[case] subject: &[&str]) {
    let text = with_id_jag(&format!("allow: {{ tickets: {{ clients: [agent], scopes: [read] }} }}, {keys}"));
    let config = parse(&text, &Environment::of([])).unwrap_or_else(|problems| panic!("{problems}"));
    let issuer = &config.providers[&slug("corp")].id_jag.as_ref().unwrap().issuers[0];
    let found: Vec<_> = issuer.subject.iter().map(ClaimPath::as_str).collect();
    assert_eq!((issuer.known_as.as_str(), found.as_slice()), (known_as, subject));
}

/// Programs that their platform vouches for: each a client that can be one.
#[rstest]
#[case("{}", &["c.yaml:3:15: providers.corp.workload.subjects: is missing: which sub is which declared client, such as \"repo:acme/api:ref:refs/heads/main\": build-agent"])]
#[case("{ subjects: { job: agnt } }", &["c.yaml:3:34: providers.corp.workload.subjects.job: no client has this name; did you mean agent?"])]
#[case("{ issuer: https://auth.acme.com, subjects: { job: job } }", &["c.yaml:3:25: providers.corp.workload.issuer: is our own: what we sign ourselves is for others"])]
#[case("{ jwks_uri: https://a.example/k, subjects: { job: job } }", &["c.yaml:3:15: providers.corp.workload.issuer: is missing: the iss of its assertions, byte for byte"])]
#[case("{ max_lifetime: 2d, subjects: { job: job } }", &["c.yaml:3:31: providers.corp.workload.max_lifetime: must be between 1s and 1d"])]
#[case(
    "{ subjects: { job: agent } }",
    &[
        "c.yaml:4:19: clients.agent.grant_types: lacks urn:ietf:params:oauth:grant-type:jwt-bearer, by which providers.corp.workload has it come",
        "c.yaml:4:19: clients.agent.resources: is missing: what it gets as a workload of corp",
    ]
)]
#[case("{ subjects: { job: 01890a5d-ac96-774b-bcce-b302099a8057 } }", &["c.yaml:6:41: clients.01890a5d-ac96-774b-bcce-b302099a8057: is a UUID, as the ids of people are: as the sub of a token it could be taken for one"])]
#[case("{ subjects: { job: job } }", &[])]
fn workloads(#[case] workload: &str, #[case] expected: &[&str]) {
    let grant =
        "grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'], resources: { tickets: [read] }";
    let text = format!(
        "providers:
  corp: {{ preset: google, client_id: c, client_secret: s, sign_in: {{ anyone: true }},
    workload: {workload} }}
clients: {{ agent: {{ redirect_uris: [\"http://127.0.0.1/cb\"] }},
  job: {{ {grant} }},
  01890a5d-ac96-774b-bcce-b302099a8057: {{ {grant} }} }}
resources:
  tickets: {{ uri: https://t.acme.com, name: T, scopes: {{ read: {{ description: R, default: true }} }} }}"
    );
    let named = |name: &str| workload.contains(name);
    let text = if named("01890a5d") {
        text
    } else {
        text.replace(&format!("  01890a5d-ac96-774b-bcce-b302099a8057: {{ {grant} }} }}"), "  }")
    };
    let text = if named("job: job") { text } else { text.replace(&format!("  job: {{ {grant} }},\n"), "\n") };
    match Config::parse(&completed(&text), "c.yaml", &Environment::of([])) {
        Ok(_) => assert!(expected.is_empty()),
        Err(found) => assert_eq!(found.to_string(), expected.join("\n")),
    }
}

fn with_id_jag(keys: &str) -> String {
    format!(
        "providers:
  corp: {{ preset: google, client_id: c, client_secret: s, sign_in: {{ anyone: true }},
    id_jag: {{ {keys} }} }}
clients: {{ agent: {{ grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'] }} }}
resources:
  tickets: {{ uri: https://t.acme.com, name: T, scopes: {{ read: {{ description: R, default: true }} }} }}"
    )
}

/// The same where assertions have tenants.
#[test]
fn tenants_of_assertions_speak_for_no_addresses() {
    let allow = "allow: { tickets: { clients: [agent], scopes: [read] } }";
    let text = |tenants: &str| {
        let issuers = format!("issuers: [{{ issuer: https://a.example, tenants: [{tenants}] }}]");
        with_id_jag(&format!("{allow}, {issuers}"))
            .replace("id_jag:", "identity: { link_verified_email: [corp] }, id_jag:")
    };
    parse(&text("a"), &Environment::of([])).unwrap_or_else(|problems| panic!("{problems}"));
    let found = problems(&text("a, b"), &Environment::of([]));
    assert!(
        found.contains("identity.link_verified_email: cannot be: each of this provider's tenants"),
        "{found}"
    );
}

/// Two providers that trust one another's word for an address, and their tenants.
#[rstest]
#[case(
    "[google]",
    "",
    "okta, domain: acme.okta.com",
    "c.yaml:3:11: providers.google.identity: link_verified_email of google does not name corp, which names it: a link needs the word of both"
)]
#[case(
    "",
    "[corp]",
    "okta, domain: acme.okta.com",
    "c.yaml:3:98: providers.google.identity: link_verified_email of corp does not name google, which names it: a link needs the word of both"
)]
#[case(
    "[gogle]",
    "",
    "okta, domain: acme.okta.com",
    "c.yaml:2:141: providers.corp.identity.link_verified_email[0]: no provider has this name; did you mean google?"
)]
#[case(
    "[]",
    "",
    "okta, domain: acme.okta.com",
    "c.yaml:2:140: providers.corp.identity.link_verified_email: an empty list could mean nobody or everybody; name somebody or remove the key"
)]
#[case(
    "[corp]",
    "",
    "entra, tenant: common, tenants: [8f2c1e4a-7b1d-4c55-9e0f-3a6d2b9c4e10]",
    "c.yaml:2:183: providers.corp.identity.link_verified_email: cannot be: each of this provider's tenants would speak for the others' addresses; write a provider for each tenant"
)]
fn linked_addresses(#[case] corp: &str, #[case] google: &str, #[case] preset: &str, #[case] expected: &str) {
    let identity = |links: &str| match links {
        "" => String::new(),
        links => format!(", identity: {{ link_verified_email: {links} }}"),
    };
    let rest = "client_id: c, client_secret: s, sign_in: { anyone: true }";
    let (corp, google) = (identity(corp), identity(google));
    let text = format!(
        "providers:\n  corp: {{ preset: {preset}, {rest}{corp} }}\n  google: {{ preset: google, {rest}{google} }}"
    );
    assert_eq!(problems(&text, &Environment::of([])), expected);
}

/// How we prove ourselves.
#[rstest]
#[case(
    "",
    &["c.yaml:2:9: providers.corp.client_secret: is missing: what proves us to the upstream; there is also private_key, and client_auth: none for a client without either"]
)]
#[case(
    "client_auth: client_secret_jwt, client_secret: s",
    &["c.yaml:2:109: providers.corp.client_auth: unknown value; did you mean client_secret_post?"]
)]
#[case(
    "client_auth: none, client_secret: s",
    &["c.yaml:2:130: providers.corp.client_secret: is of no use with this client_auth"]
)]
#[case(
    "client_secret: s, private_key: k",
    &[
        "c.yaml:2:9: providers.corp.client_auth: is missing: say which of client_secret and private_key it is",
        "c.yaml:2:127: providers.corp.private_key: must be an RSA private key in PEM (PKCS #8), as private_key_alg wants it",
    ]
)]
#[case(
    "client_auth: client_secret_post, private_key_id: k",
    &[
        "c.yaml:2:9: providers.corp.client_secret: is missing: what client_auth proves us with",
        "c.yaml:2:145: providers.corp.private_key_id: is of no use without private_key",
    ]
)]
#[case(
    "private_key: hunter2",
    &["c.yaml:2:109: providers.corp.private_key: must be an RSA private key in PEM (PKCS #8), as private_key_alg wants it"]
)]
fn client_authentication(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(
        problems(
            &format!(
                "providers:\n  corp: {{ preset: oidc, issuer: https://idp.acme.com, client_id: c, sign_in: {{ anyone: true }}, {text} }}"
            ),
            &Environment::of([])
        ),
        expected.join("\n")
    );
}

/// What a sound provider may add.
#[rstest]
#[case(
    "scopes: [profile]",
    &["c.yaml:2:122: providers.corp.scopes: lacks openid, without which there is no ID token"]
)]
#[case(
    "scopes: [a b]",
    &[
        "c.yaml:2:122: providers.corp.scopes: lacks openid, without which there is no ID token",
        "c.yaml:2:123: providers.corp.scopes[0]: a scope is 1 to 128 printable ASCII characters without spaces, quotes and backslashes",
    ]
)]
#[case(
    "id_token_algs: [HS256, none]",
    &[
        "c.yaml:2:130: providers.corp.id_token_algs[0]: is not accepted: it must be signed with a key that only the upstream has",
        "c.yaml:2:137: providers.corp.id_token_algs[1]: is not accepted: it must be signed with a key that only the upstream has",
    ]
)]
#[case(
    "id_token_algs: []",
    &["c.yaml:2:129: providers.corp.id_token_algs: is empty, so no token could be accepted"]
)]
#[case(
    "id_token_algs: [rs256]",
    &["c.yaml:2:130: providers.corp.id_token_algs[0]: unknown value; known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"]
)]
#[case(
    "claims: { subject: [], groups: '' }",
    &[
        "c.yaml:2:133: providers.corp.claims.subject: is empty, so nobody could be told from anybody else",
        "c.yaml:2:145: providers.corp.claims.groups: is empty",
    ]
)]
#[case(
    "pkce: yes",
    &["c.yaml:2:120: providers.corp.pkce: must be true or false"]
)]
#[case(
    "prompt_login: none",
    &["c.yaml:2:128: providers.corp.prompt_login: cannot hold none: it is sent where the person shall be asked"]
)]
#[case(
    "leeway: 10m",
    &["c.yaml:2:122: providers.corp.leeway: must be between 0s and 5m"]
)]
#[case(
    "discovery_url: http://idp.acme.com/x",
    &["c.yaml:2:129: providers.corp.discovery_url: must begin with https://; plain http is for development, while server.issuer is loopback"]
)]
#[case(
    "response_iss: maybe",
    &["c.yaml:2:128: providers.corp.response_iss: unknown value; known are when_announced, required"]
)]
#[case(
    "domain: x",
    &["c.yaml:2:114: providers.corp.domain: unknown key"]
)]
#[case(
    "client_idd: x",
    &["c.yaml:2:114: providers.corp.client_idd: unknown key; did you mean client_id?"]
)]
fn provider_details(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(
        problems(
            &format!(
                "providers:\n  corp: {{ preset: oidc, issuer: https://idp.acme.com, client_id: c, client_secret: s, \
         sign_in: {{ anyone: true }}, {text} }}"
            ),
            &Environment::of([])
        ),
        expected.join("\n")
    );
}

/// Tokens of a sign-in that would be of no use as a connection.
#[rstest]
#[case(
    "{ keep_sign_in_tokens: true }",
    "client_id: c",
    &["c.yaml:2:121: providers.corp.vault.connection: is missing: the entry under connections that they become"]
)]
#[case(
    "{ keep_sign_in_tokens: true, connection: filez }",
    "client_id: c",
    &["c.yaml:2:162: providers.corp.vault.connection: no connection has this name; did you mean files?"]
)]
#[case(
    "{ connection: files }",
    "client_id: c",
    &["c.yaml:2:121: providers.corp.vault: says how tokens are kept, but not keep_sign_in_tokens: true"]
)]
#[case(
    "{ keep_sign_in_tokens: true, connection: files }",
    "client_id: d",
    &["c.yaml:4:10: connections.files: keeps the sign-in tokens of corp, but is another client there: its client_id must be c"]
)]
#[case(
    "{ keep_sign_in_tokens: true, connection: files, scopes: [files, \"a b\"] }",
    "client_id: c",
    &["c.yaml:2:185: providers.corp.vault.scopes[1]: a scope is 1 to 128 printable ASCII characters without spaces, quotes and backslashes"]
)]
fn kept_tokens(#[case] vault: &str, #[case] client: &str, #[case] expected: &[&str]) {
    let text = format!(
        "providers:\n  corp: {{ preset: oidc, issuer: https://idp.acme.com, client_id: c, client_secret: s, \
         sign_in: {{ anyone: true }}, vault: {vault} }}\nconnections:\n  files: {{ preset: oidc, \
         issuer: https://idp.acme.com, {client}, client_secret: s }}"
    );
    assert_eq!(problems(&text, &Environment::of([])), expected.join("\n"));
}

#[test]
fn who_asks_again_must_have_tokens_to_ask_with() {
    let text = "providers:\n  corp: { preset: oidc, issuer: https://idp.acme.com, client_id: c, client_secret: s, \
                sign_in: { anyone: true, recheck: upstream } }";
    let expected = "c.yaml:2:96: providers.corp.sign_in: has recheck: upstream, which asks with the tokens of the \
                    sign-in; say where they are kept: vault";
    assert_eq!(problems(text, &Environment::of([])), expected);
}

#[test]
fn kept_tokens_are_of_one_issuer() {
    let text = "providers:\n  corp: { preset: oidc, issuer: https://idp.acme.com, client_id: c, client_secret: s, \
                sign_in: { anyone: true }, vault: { keep_sign_in_tokens: true, connection: files } }\nconnections:\n  \
                files: { preset: oidc, issuer: https://other.acme.com, client_id: c, client_secret: s }";
    let said = problems(text, &Environment::of([]));
    let expected = "keeps the sign-in tokens of corp, but is of another issuer than https://idp.acme.com";
    assert!(said.ends_with(expected), "{said}");
}
