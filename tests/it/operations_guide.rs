//! The guide docs/operations.md on ending access: each of its commands, on a house in which there is something to end.

use std::{fs, path::Path, process::Command};

use sqlx::Connection as _;

const GUIDE: &str = include_str!("../../docs/operations.md");

const CONFIG: &str = r#"
server: { issuer: "https://auth.acme.com" }
database: { url: "sqlite://chancery.db" }
encryption: { keys: [{ id: "2026-11", key: "kQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKpQx0vYc0bo=" }] }
providers:
  acme-okta:
    preset: okta
    domain: acme.okta.com
    client_id: 0oa1b2c3d4
    client_secret: a-secret
    sign_in: { anyone: true }
resources:
  tickets: { uri: "https://mcp.acme.com/tickets", name: Ticket desk, scopes: { "tickets:read": { description: Read tickets, default: true } } }
clients:
  code-agent: { secret: another-secret-of-an-agent, redirect_uris: ["http://127.0.0.1/callback"] }
connections:
  github: { preset: github, client_id: Iv1.a629723c4ef3, client_secret: a-secret, use: { tickets: { "tickets:read": [repo] } } }
  notes: { preset: mcp, name: Notes, url: "https://mcp.partner.example/notes" }
"#;

/// Ada, signed in, with an application that acts for her and an account that she connected.
const ADA: &str = "
INSERT INTO users (id, name, email, created_at) VALUES ('0193a4f0-0000-7000-8000-00000000ada1', 'Ada', 'ada@acme.com', 0);
INSERT INTO identities (id, user_id, provider, issuer, subject, email, email_verified, groups, created_at, last_seen_at)
  VALUES ('0193a4f0-0000-7000-8000-00000000ada2', '0193a4f0-0000-7000-8000-00000000ada1', 'acme-okta',
          'https://acme.okta.com', '00u1a2b3', 'ada@acme.com', 1, '[]', 0, 0);
INSERT INTO sessions (id, user_id, identity_id, provider, auth_time, amr, user_agent, created_at, last_seen_at, expires_at)
  VALUES ('0193a4f0-0000-7000-8000-00000000ada3', '0193a4f0-0000-7000-8000-00000000ada1',
          '0193a4f0-0000-7000-8000-00000000ada2', 'acme-okta', 0, '[]', 'Firefox', 0, 99999999999999, 99999999999999);
INSERT INTO grants (id, user_id, identity_id, client_id, resource, audience, scope, amr, created_at, last_used_at,
                    expires_at, origin)
  VALUES ('0193a4f0-0000-7000-8000-00000000ada4', '0193a4f0-0000-7000-8000-00000000ada1',
          '0193a4f0-0000-7000-8000-00000000ada2', 'code-agent', 'tickets', 'https://mcp.acme.com/tickets', 'tickets:read',
          '[]', 0, 0, 99999999999999, 'consent');
INSERT INTO connections (id, user_id, name, is_default, account, scope, details, state, tokens, generation, refreshed_at,
                         lease, failures, created_at)
  VALUES ('0193a4f0-0000-7000-8000-00000000ada5', '0193a4f0-0000-7000-8000-00000000ada1', 'github', 1, '583231', 'repo',
          '{}', 'active', x'00', 1, 0, 0, 0, 0);
INSERT INTO vendor_clients (connection, issuer, redirect_uri, client_id, created_at)
  VALUES ('notes', 'https://login.partner.example', 'https://auth.acme.com/connect/notes/callback', 'c-1', 0);
";

/// How things stand.
const STANDS: &str = "
SELECT (SELECT CASE WHEN disabled_at IS NULL THEN 'in' ELSE 'out' END FROM users)
  || ', sessions ' || (SELECT count(*) FROM sessions)
  || ', grants ' || (SELECT count(*) FROM grants WHERE revoked_at IS NULL)
  || ', github ' || coalesce((SELECT state FROM connections), 'gone')
  || ', owed ' || (SELECT count(*) FROM revocations)
  || ', off: ' || coalesce((SELECT group_concat(kind || ' ' || name) FROM switched_off), 'nothing')
  || CASE WHEN EXISTS (SELECT 1 FROM vendor_clients) THEN '' ELSE ', registered nowhere' END";

const AT_FIRST: &str = "in, sessions 1, grants 1, github active, owed 0, off: nothing";
const IS_OUT: &str = "out, sessions 0, grants 0, github active, owed 0, off: nothing";
const OFFBOARDED: &str = "out, sessions 0, grants 0, github gone, owed 1, off: nothing";
const GITHUB_OFF: &str = "in, sessions 1, grants 1, github active, owed 0, off: connection github";
const HERS_OFF: &str = "in, sessions 1, grants 1, github disabled, owed 0, off: nothing";
const GITHUB_GONE: &str = "in, sessions 1, grants 1, github gone, owed 1, off: nothing";
const BOTH: &str = "in, sessions 1, grants 1, github gone, owed 1, off: connection github";

/// What the blocks of the guide lead to, command by command. Each begins with the house as it was at first, unless it
/// goes on with what the one before it left.
const FOLLOWED: [(bool, &[(&str, &str)]); 10] = [
    (false, &[("user show ada@acme.com", AT_FIRST), ("user offboard ada@acme.com", OFFBOARDED)]),
    (
        false,
        &[
            ("user disable --provider acme-okta 00u1a2b3", IS_OUT),
            (
                "user enable --provider acme-okta 00u1a2b3",
                "in, sessions 0, grants 0, github active, owed 0, off: nothing",
            ),
        ],
    ),
    (
        false,
        &[
            (
                "client disable code-agent",
                "in, sessions 1, grants 1, github active, owed 0, off: client code-agent",
            ),
            ("client enable code-agent", AT_FIRST),
        ],
    ),
    (
        false,
        &[
            (
                "provider disable acme-okta",
                "in, sessions 1, grants 1, github active, owed 0, off: provider acme-okta",
            ),
            ("provider enable acme-okta", AT_FIRST),
        ],
    ),
    (false, &[("connection disable github", GITHUB_OFF), ("connection list", GITHUB_OFF)]),
    (true, &[("connection enable github", AT_FIRST)]),
    (
        false,
        &[
            ("connection disable github --user ada@acme.com", HERS_OFF),
            ("connection list --user ada@acme.com", HERS_OFF),
            ("connection enable github --user ada@acme.com", AT_FIRST),
        ],
    ),
    (
        false,
        &[
            ("connection disconnect --user ada@acme.com --name github", GITHUB_GONE),
            ("connection disconnect --name github", GITHUB_GONE),
        ],
    ),
    (
        false,
        &[
            ("connection disable github", GITHUB_OFF),
            ("connection disconnect --name github", BOTH),
            ("connection list", BOTH),
        ],
    ),
    (
        false,
        &[(
            "connection unregister notes",
            "in, sessions 1, grants 1, github active, owed 0, off: nothing, registered nowhere",
        )],
    ),
];

/// The blocks of commands that end access.
fn blocks() -> Vec<Vec<&'static str>> {
    let from = GUIDE.find("\n## When somebody leaves\n").unwrap();
    let to = GUIDE.find("\n## Reverse proxy\n").unwrap();
    let blocks = GUIDE[from..to].split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().lines().collect()).collect()
}

/// Runs one in the folder of the configuration.
fn run(folder: &Path, arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

async fn connect(folder: &Path) -> sqlx::SqliteConnection {
    let database = format!("sqlite://{}", folder.join("chancery.db").display());
    sqlx::SqliteConnection::connect(&database).await.unwrap()
}

#[tokio::test]
async fn every_command_of_the_guide_ends_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, database) = (folder.path(), folder.path().join("chancery.db"));
    fs::write(folder.join("chancery.yaml"), CONFIG).unwrap();
    run(folder, "migrate --config chancery.yaml");
    let mut connection = connect(folder).await;
    sqlx::raw_sql(ADA).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let at_first = fs::read(&database).unwrap();

    let blocks = blocks();
    assert_eq!(blocks.len(), FOLLOWED.len(), "{blocks:?}");
    for (block, (goes_on, expected)) in blocks.iter().zip(FOLLOWED) {
        if !goes_on {
            fs::write(&database, &at_first).unwrap();
        }
        assert_eq!(block.len(), expected.len(), "{block:?}");
        for (line, (words, then)) in block.iter().zip(expected) {
            assert_eq!(*line, format!("chancery admin {words} --config chancery.yaml"));
            let printed = run(folder, line.strip_prefix("chancery ").unwrap());
            assert!(!printed.is_empty(), "{line}");
            let mut connection = connect(folder).await;
            let stands: String = sqlx::query_scalar(STANDS).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            assert_eq!(stands, *then, "{line}");
        }
    }
}
