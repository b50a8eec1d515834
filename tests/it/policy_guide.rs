//! The guide docs/policy.md, word for word: its configuration, its commands, and what they print.

use std::{fs, path::Path, process::Command};

use sqlx::Connection as _;

const GUIDE: &str = include_str!("../../docs/policy.md");

/// The people of the guide, what one of them allowed, and what was refused to her client.
const PEOPLE: &str = r#"
INSERT INTO users (id, name, email, created_at, disabled_at) VALUES
  ('0193a4f0-0000-7000-8000-00000000ada1', 'Ada Lovelace', 'ada@acme.com', 0, NULL),
  ('0193a4f0-0000-7000-8000-00000000b0b1', 'Bob', 'bob@acme.com', 0, 1795000000000);
INSERT INTO identities (id, user_id, provider, issuer, subject, organization, email, email_verified, name, groups, claims,
                        created_at, last_seen_at) VALUES
  ('0193a4f0-0000-7000-8000-00000000ada2', '0193a4f0-0000-7000-8000-00000000ada1', 'acme-okta', 'https://acme.okta.com',
   '00u1ada', 'acme', 'ada@acme.com', 1, 'Ada Lovelace', '["engineering", "mcp-users"]', '{}', 0, 1795161600000),
  ('0193a4f0-0000-7000-8000-00000000b0b2', '0193a4f0-0000-7000-8000-00000000b0b1', 'acme-okta', 'https://acme.okta.com',
   '00u1bob', 'acme', 'bob@acme.com', 1, 'Bob', '[]', '{}', 0, 1793606400000);
INSERT INTO consents (user_id, client_id, resource, scope, redirect_host, granted_at) VALUES
  ('0193a4f0-0000-7000-8000-00000000ada1', 'code-agent', 'tickets', 'tickets:read tickets:write', '127.0.0.1', 0);
INSERT INTO grants (id, user_id, identity_id, client_id, resource, audience, scope, amr, created_at, last_used_at,
                    expires_at, origin) VALUES
  ('0193a4f0-0000-7000-8000-00000000ada3', '0193a4f0-0000-7000-8000-00000000ada1', '0193a4f0-0000-7000-8000-00000000ada2',
   'code-agent', 'tickets', 'https://mcp.acme.com/tickets', 'tickets:read tickets:write', '[]', 0, 0, 99999999999999,
   'consent');
INSERT INTO audit (id, at, event, outcome, reason, reference, user_id, client_id, provider, resource, scope, details) VALUES
  ('0193a4f0-0000-7000-8000-00000000ada4', 1795167000000, 'token.refused', 'refused', 'invalid_grant', 'K7QM-29XF',
   '0193a4f0-0000-7000-8000-00000000ada1', 'code-agent', 'acme-okta', 'https://mcp.acme.com/tickets', 'tickets:write',
   '{"grant_type":"refresh_token","rules":"resources.tickets.scopes.tickets:write.allow.groups (group)",
     "why":"policy: resources.tickets.scopes.tickets:write.allow.groups (group)"}');
"#;

/// The blocks of this kind, in order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let begin = format!("```{kind}\n");
    GUIDE.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A shell in the folder of the guide's configuration, in which `chancery` is this build's.
fn shell(folder: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_chancery"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("CHANCERY_CONFIG", "chancery.yaml")
        .env("CHANCERY_KEY", "kQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKpQx0vYc0bo=")
        .env("OKTA_CLIENT_SECRET", "a-secret")
        .env("AGENT_SECRET", "another-secret-of-an-agent")
        .env("REPORT_SECRET", "another-secret-of-a-report")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_guide_to_policy_can_be_followed_word_for_word() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chancery.yaml"), blocks("yaml")[0]).unwrap();
    shell(folder.path(), "chancery migrate");
    let database = format!("sqlite://{}", folder.path().join("chancery.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&database).await.unwrap();
    sqlx::raw_sql(PEOPLE).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let mut followed = 0;
    for block in blocks("console") {
        for step in block.strip_prefix("$ ").expect("a block begins with a command").split("\n$ ") {
            let (command, printed) = step.split_once('\n').unwrap();
            assert_eq!(shell(folder.path(), command).trim_end(), printed.trim_end(), "{command}");
            followed += 1;
        }
    }
    assert!(followed > 6, "{followed}");
}
