//! OpenBao keeps the encryption key, set up as docs/keys.md says. A house with a key of its own moves there, and then
//! the key is rotated, OpenBao is sealed, our policy is taken back, and the key is deleted.

use std::{
    fs::{self, File},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use chancery::{
    app::App,
    entropy::Entropy,
    ids::{ConnectionId, UserId},
    store::connections,
    vault::{
        refresh::NotFresh,
        state::{Loss, State},
    },
};
use rstest::rstest;
use tempfile::TempDir;

use crate::{
    house::{free_port, peer::openbao},
    support::{
        Browser, Client, On, Server, Tokens,
        client::post,
        vault::{CODE, Vendor, kept::keep_for},
    },
};

const GUIDE: &str = include_str!("../../docs/keys.md");
const SECRET: &str = "0123456789-server-secret";
const HOUR: Duration = Duration::from_secs(3600);
/// How long a data key that OpenBao has unwrapped is kept.
const KEPT_FOR: Duration = Duration::from_secs(300);
const MOMENT: Duration = Duration::from_millis(1);
const START_WITHIN: Duration = Duration::from_secs(30);

/// `bao server -dev`: everything in memory.
struct OpenBao {
    server: Child,
    address: String,
    folder: TempDir,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl OpenBao {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let server = openbao("bao")
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"])
            .arg(format!("-dev-listen-address={listen}"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut openbao = Self { server, address: format!("http://{listen}"), folder };
        let begun = Instant::now();
        while !openbao.log().contains("Root Token: ") {
            let ended = openbao.server.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < START_WITHIN, "{ended:?} {}", openbao.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        openbao
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Runs lines of a shell as an administrator of OpenBao, and gives what they print.
    fn run(&self, lines: &str) -> String {
        let output = openbao("sh")
            .args(["-e", "-c", lines])
            .env("BAO_ADDR", &self.address)
            .env("BAO_TOKEN", "root")
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{lines}\n{out}{err}");
        out
    }

    fn seal(&self) {
        self.run("bao operator seal");
    }

    fn unseal(&self) {
        let log = self.log();
        let key = log.lines().find_map(|line| line.strip_prefix("Unseal Key: ")).unwrap();
        self.run(&format!("bao operator unseal {key}"));
    }

    /// Does what the guide says, and gives the key that it says to configure.
    fn follow_the_guide(&self) -> String {
        let [setup, yaml] = ["sh", "yaml"].map(|kind| {
            let part = GUIDE.split("\n## A key in OpenBao or HashiCorp Vault\n").nth(1).unwrap();
            part.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap()
        });
        let printed = self.run(setup);
        let told = |name: &str| {
            let line = printed.lines().find(|line| line.split_whitespace().next() == Some(name));
            line.unwrap_or_else(|| panic!("no {name}: {printed}")).split_whitespace().nth(1).unwrap()
        };
        let (_, key) = yaml.split_once("    - ").unwrap();
        let lines: Vec<_> = key.lines().map(str::trim).collect();
        let [id, transit, address, key, approle] = lines[..] else { panic!("{yaml}") };
        assert_eq!(transit, "transit:");
        let filled = format!("{{ {id}, transit: {{ {address}, {key}, {approle} }} }}")
            .replace("https://vault.acme.com:8200", &format!("\"{}\"", self.address))
            .replace("${VAULT_ROLE_ID}", told("role_id"))
            .replace("${VAULT_SECRET_ID}", told("secret_id"));
        assert!(!filled.contains("${"), "{filled}");
        filled
    }
}

/// A house whose key is in OpenBao, and an account of Ada's that its server of tickets asks for.
struct Stage {
    openbao: OpenBao,
    vendor: Vendor,
    /// It began with a key of its own. It has the configuration's file, and serves no more.
    before: Server,
    house: Server,
    key: String,
    tokens: Tokens,
    id: ConnectionId,
}

impl Stage {
    /// `None` where the engine is left out on purpose.
    async fn set(on: On) -> Option<Self> {
        let (openbao, vendor) = (OpenBao::start().await, Vendor::start().await);
        let server = format!("clients:\n  tickets-server: {{ secret: {SECRET}, serves: tickets }}\n");
        let before = Server::start_with(on, &vendor.sections("").replace("clients:\n", &server)).await?;
        let client = Client::desk().scope("tickets:read tickets:write");
        let tokens = client.obtain(&before, &Browser::new(), "ada").await;
        let ada = UserId::parse(tokens.claims()["sub"].as_str().unwrap()).unwrap();
        let expires_at = before.clock.now().plus(HOUR);
        let id = keep_for(&before.app, &ada, CODE, ("at-0", Some("rt-0")), |row| {
            row.expires_at = Some(expires_at);
        })
        .await;

        let (key, own) = (openbao.follow_the_guide(), before.keys());
        let house = before.twin_with(before.with_keys(&format!("{own}, {key}"))).await;
        assert_eq!(vend(&house, &tokens).await.body["access_token"], "at-0");
        let house = before.twin_with(before.with_keys(&format!("{key}, {own}"))).await;
        assert_eq!(vend(&house, &tokens).await.body["access_token"], "at-0");
        let moved = before.command(&["keys", "rotate", "--encryption"]);
        assert!(moved.out.contains("refused 0\n`k1` can be left out"), "{}{}", moved.out, moved.err);
        let house = before.twin_with(before.with_keys(&key)).await;
        let stage = Self { openbao, vendor, before, house, key, tokens, id };
        assert!(stage.wrapped(&stage.id).await.starts_with("vault:v1:"));
        stage.is_vended("at-0").await;
        Some(stage)
    }

    /// The server of tickets gets this token.
    async fn is_vended(&self, access: &str) {
        let got = vend(&self.house, &self.tokens).await;
        assert_eq!((got.status, got.body["access_token"].as_str()), (200, Some(access)), "{}", got.body);
    }

    /// It is told to come again, and of the account nothing has changed.
    async fn is_not_vended_now(&self) {
        let before = self.house.connection(&self.id).await;
        let refused = self.house.recorded("seal.refused").await;
        let got = vend(&self.house, &self.tokens).await;
        assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"), "{}", got.body);
        assert!(got.headers.contains_key("retry-after"));
        assert_eq!(got.body.get("access_token"), None);
        let after = self.house.connection(&self.id).await;
        assert_eq!((&after.tokens, after.state), (&before.tokens, State::Active));
        assert_eq!(self.house.recorded("seal.refused").await, refused, "nobody has changed anything");
    }

    /// Ada's application gets its next token, which needs no key.
    async fn next_token(&mut self) {
        let client = Client::desk();
        self.tokens = client.refresh(&self.house, self.tokens.refresh()).await;
        assert_eq!(self.tokens.status, 200, "{}", self.tokens.body);
    }

    /// The data key of a connection's tokens, as OpenBao has wrapped it.
    async fn wrapped(&self, id: &ConnectionId) -> String {
        let hex = if self.house.database.starts_with("sqlite") {
            "lower(hex(tokens))"
        } else {
            "encode(tokens, 'hex')"
        };
        let hex = self.house.text(format!("SELECT {hex} FROM connections WHERE id = '{id}'")).await;
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        let text = String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned();
        text[text.find("vault:v").expect("wrapped by OpenBao")..].to_owned()
    }
}

async fn vend(server: &Server, tokens: &Tokens) -> Tokens {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "tickets-server"),
        ("client_secret", SECRET),
        ("subject_token", tokens.access()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", CODE),
    ];
    post(server, &form.map(|(name, value)| (name, value.to_owned()))).await
}

#[rstest]
#[tokio::test]
async fn its_key_is_rotated_there_and_its_old_versions_end(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(mut stage) = Stage::set(on).await else { return };
    let old = stage.house.connected(2 * HOUR).await;
    stage.openbao.run("bao write -f transit/keys/chancery/rotate");
    stage.house.later(KEPT_FOR);
    stage.is_vended("at-0").await;
    stage.house.later(HOUR);
    stage.next_token().await;
    stage.is_vended("at-1").await;
    assert!(stage.wrapped(&stage.id).await.starts_with("vault:v2:"), "what is sealed from here on");
    assert!(stage.wrapped(&old).await.starts_with("vault:v1:"));

    // Ended too early, it is an outage, and no token is given up.
    let ends = "bao write transit/keys/chancery/config min_decryption_version=2";
    stage.openbao.run(ends);
    stage.house.app.sealer.forget_data_keys();
    assert!(matches!(stage.house.fresh(&old).await, Err(NotFresh::Key(_))));
    stage.openbao.run("bao write transit/keys/chancery/config min_decryption_version=1");
    assert_eq!(stage.house.fresh(&old).await.unwrap().access.expose(), "at-0");

    // As the guide says: the same key under another id.
    assert!(GUIDE.contains(ends));
    let again = stage.key.replace("2026-12", "2027-01");
    let both = stage.before.with_keys(&format!("{again}, {}", stage.key));
    drop(stage.before.twin_with(both).await);
    let moved = stage.before.command(&["keys", "rotate", "--encryption"]);
    assert!(moved.out.contains("refused 0\n`2026-12` can be left out"), "{}{}", moved.out, moved.err);
    stage.openbao.run(ends);
    stage.house = stage.before.twin_with(stage.before.with_keys(&again)).await;
    assert!(stage.wrapped(&old).await.starts_with("vault:v2:"));
    assert_eq!(stage.house.fresh(&old).await.unwrap().access.expose(), "at-0");
    stage.is_vended("at-1").await;
}

#[rstest]
#[tokio::test]
async fn while_it_is_away_nothing_is_lost_and_nothing_is_kept_in_the_clear(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(mut stage) = Stage::set(on).await else { return };
    stage.openbao.seal();
    stage.is_vended("at-0").await;
    stage.house.later(KEPT_FOR.saturating_sub(MOMENT));
    stage.is_vended("at-0").await;
    stage.house.later(MOMENT);
    stage.is_not_vended_now().await;

    // The vendor is not asked for what could not be sealed; signing goes on; whoever signs in comes again.
    stage.house.later(HOUR);
    stage.next_token().await;
    stage.is_not_vended_now().await;
    assert_eq!(stage.vendor.asked().await, 0);
    let begun = stage.house.rows("logins").await;
    let page = Browser::new().open(&Client::desk().authorize_url(&stage.house)).await;
    assert_eq!((page.status, page.headers.contains_key("retry-after")), (503, true), "{}", page.text());
    assert_eq!(stage.house.rows("logins").await, begun);
    let (config, clock) = (stage.house.app.config.clone(), stage.house.clock.clone());
    let Err(error) = App::open(config, clock, Entropy::System, false).await else { panic!("it started") };
    assert!(error.to_string().contains("answered with the status 503"), "{error}");

    stage.openbao.unseal();
    stage.is_vended("at-1").await;
    assert_eq!(stage.vendor.asked().await, 1);
    assert_eq!(stage.house.recorded("connection.lost").await, 0);
    stage.openbao.server.kill().unwrap();
    stage.house.later(KEPT_FOR);
    stage.is_not_vended_now().await;
}

#[rstest]
#[tokio::test]
async fn it_may_let_us_in_no_longer(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::set(on).await else { return };
    let other = stage.house.connected(HOUR).await;
    stage.house.app.sealer.forget_data_keys();
    stage.is_vended("at-0").await;
    stage.openbao.run("bao policy delete chancery");
    stage.is_vended("at-0").await;
    assert!(matches!(stage.house.fresh(&other).await, Err(NotFresh::Key(_))));
    // From the first refusal on, nothing opens, whatever was kept.
    stage.is_not_vended_now().await;
    let setup = GUIDE.split("bao policy write").nth(1).unwrap().split("\nPOLICY\n").next().unwrap();
    stage.openbao.run(&format!("bao policy write{setup}\nPOLICY\n"));
    stage.is_vended("at-0").await;

    // OpenBao itself says that a data key was wrapped for another row.
    let (mine, others) = (stage.house.connection(&stage.id).await, stage.house.connection(&other).await);
    let moved = connections::Connection { tokens: mine.tokens, ..others };
    let configured = stage.house.app.config.connections.get(&moved.name).unwrap();
    let fresh = chancery::vault::refresh::fresh(&stage.house.app, configured, moved).await;
    assert!(matches!(fresh, Err(NotFresh::Reconnect(Loss::Unreadable))), "{fresh:?}");
    assert_eq!(stage.house.reasons("seal.refused").await, ["tampered"]);

    // That the key is gone may be a mistake, so no token is given up for it.
    stage.openbao.run("bao write transit/keys/chancery/config deletion_allowed=true");
    stage.openbao.run("bao delete transit/keys/chancery");
    stage.house.later(KEPT_FOR);
    stage.is_not_vended_now().await;
}
