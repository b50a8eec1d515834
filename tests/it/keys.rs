//! Changing the encryption key, as docs/keys.md says, and while people sign in.

use std::{fs, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    clock::Clock,
    config::encryption::EncryptionKey,
    entropy::Entropy,
    ids::{ConnectionId, ConnectionName, UserId},
    seal::Sealer,
    secret::Secret,
    vault::safe::{Kept, Place, Safe},
};
use rstest::rstest;
use sqlx::Connection as _;

use crate::support::{Browser, Client, On, Server};

const GUIDE: &str = include_str!("../../docs/keys.md");
const OLD: &str = "ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c=";
pub(crate) const NEW: &str = "kQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKpQx0vYc0bo=";

const AROUND: &str = r#"
server: { issuer: "https://auth.acme.com" }
database: { url: "sqlite://chancery.db" }
providers: { acme: { preset: okta, domain: acme.okta.com, client_id: c, client_secret: a-secret, organization: acme,
                     sign_in: { email_domains: [acme.com] } } }
resources: { tickets: { uri: "https://mcp.acme.com/tickets", name: Tickets,
                        scopes: { "tickets:read": { description: Read, default: true } } } }
"#;

/// The blocks of this kind in the part of the guide about changing the key, in order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let part = GUIDE.split("\n## Changing the key\n").nth(1).unwrap();
    let begin = format!("```{kind}\n");
    let blocks: Vec<_> = part.split(begin.as_str()).skip(1).collect();
    blocks.into_iter().map(|rest| rest.split("```").next().unwrap()).collect()
}

/// `new`: what is in `CHANCERY_KEY`.
fn shell(folder: &Path, new: &str, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_chancery"));
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()))
        .env("CHANCERY_CONFIG", "chancery.yaml")
        .env("CHANCERY_KEY", new)
        .env("CHANCERY_KEY_OLD", OLD)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    String::from_utf8(output.stdout).unwrap() + &told
}

/// Accounts of one person's, whose tokens the old key has sealed.
async fn connect(folder: &Path, count: usize) {
    let database = format!("sqlite://{}", folder.join("chancery.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&database).await.unwrap();
    let (clock, entropy) = (Clock::System, Entropy::System);
    let user = UserId::new(&clock, &entropy);
    let insert = "INSERT INTO users (id, created_at) VALUES ($1, 0)";
    sqlx::query(insert).bind(&user).execute(&mut connection).await.unwrap();
    let key = EncryptionKey::local("2025-11", STANDARD.decode(OLD).unwrap().try_into().unwrap());
    let safe = Safe::new(Sealer::new(&[key], &clock).unwrap());
    let name = ConnectionName::try_from("github".to_owned()).unwrap();
    for account in 0..count {
        let id = ConnectionId::new(&clock, &entropy);
        let place = Place { id: &id, user: &user, name: &name, generation: 1 };
        let ready = safe.prepare(&entropy, place).await.unwrap();
        let tokens = Kept { access: Secret::new("gho_token".into()), refresh: None }.seal(ready);
        sqlx::query(
            "INSERT INTO connections (id, user_id, name, is_default, account, scope, details, state, tokens, generation,
                 refreshed_at, lease, failures, created_at)
             VALUES ($1, $2, $3, $4, $5, 'repo', '{}', 'active', $6, 1, 0, 0, 0, 0)",
        )
        .bind(&id)
        .bind(&user)
        .bind(&name)
        .bind(account == 0)
        .bind(account.to_string())
        .bind(tokens)
        .execute(&mut connection)
        .await
        .unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_guide_can_be_followed_word_for_word() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let configure = |keys: &str| fs::write(folder.join("chancery.yaml"), format!("{keys}{AROUND}")).unwrap();
    let generated = shell(folder, "", "chancery keys generate");
    let shell = |folder, line| shell(folder, generated.trim_end(), line);
    configure("encryption: { keys: [{ id: \"2025-11\", key: \"${CHANCERY_KEY_OLD}\" }] }\n");
    shell(folder, "chancery keys rotate");
    connect(folder, 2).await;

    let [below, on_top, alone] = blocks("yaml")[..] else { panic!("three steps change the configuration") };
    configure(below);
    assert!(shell(folder, "chancery keys list").contains("2026-11  opens  no values"));
    configure(on_top);
    assert!(shell(folder, "chancery keys list").contains("2026-11  seals  no values"));
    configure(alone);
    assert!(shell(folder, "chancery keys list").contains("`2025-11` has sealed values in this database"));
    configure(on_top);
    let mut followed = 0;
    for block in blocks("console") {
        for step in block.strip_prefix("$ ").expect("a block begins with a command").split("\n$ ") {
            let (command, printed) = step.split_once('\n').unwrap();
            assert_eq!(shell(folder, command).trim_end(), printed.trim_end(), "{command}");
            followed += 1;
        }
    }
    assert_eq!(followed, 3);
    configure(alone);
    let listed = shell(folder, "chancery keys list");
    assert!(listed.contains("2026-11  seals  4 values") && !listed.contains("2025-11"), "{listed}");
}

#[rstest]
#[tokio::test]
async fn people_notice_nothing_while_the_key_is_changed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let old = server.keys();
    let new = format!("{{ id: k2, key: \"{NEW}\" }}");
    let (client, browser) = (Client::desk(), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;

    let below = server.twin_with(server.with_keys(&format!("{old}, {new}"))).await;
    let tokens = client.refresh(&below, tokens.refresh()).await;
    let on_top = server.twin_with(server.with_keys(&format!("{new}, {old}"))).await;
    let tokens = client.refresh(&on_top, tokens.refresh()).await;
    // Somebody is on her way to her provider, sent by a server that seals with the old key.
    let under_way = Browser::new();
    under_way.open_until(&client.authorize_url(&server), &server.provider).await;
    let list = server.command(&["keys", "list"]);
    assert!(list.out.contains("k1  opens  2 values (signing_keys 1, logins 1)"), "{}", list.out);

    let rotated = server.command(&["keys", "rotate", "--encryption"]);
    assert_eq!(rotated.code, 0, "{}{}", rotated.out, rotated.err);
    assert!(rotated.out.contains("moved 1, "), "{}", rotated.out);
    assert!(rotated.out.contains("`k1` has 1 value (logins 1), which end by themselves"), "{}", rotated.out);
    on_top.app.reload_keys().await.unwrap();
    server.app.reload_keys().await.unwrap_err();
    server.with_keys(&new);
    let refused = server.command(&["keys", "list"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("`k1` is not configured, and so many values in this database"),
        "{}",
        refused.err
    );

    // Ten minutes later.
    server.execute("DELETE FROM logins").await;
    let alone = server.twin_with(server.with_keys(&new)).await;
    assert_eq!(client.refresh(&alone, tokens.refresh()).await.status, 200);
    assert_eq!(server.recorded("key.dropped").await, 1);
    let list = server.command(&["keys", "list"]);
    assert!(list.out.contains("k2  seals") && !list.out.contains("k1"), "{}", list.out);
}
