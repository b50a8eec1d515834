//! `chancery dev --walk` goes the whole way, and a house that deviates is noticed.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use chancery::{
    dev::walk::{Agent, Connecting, Credentials, Journey},
    entropy::Entropy,
    secret::Secret,
};
use url::Url;

#[test]
fn the_walk_goes_the_whole_way_and_prints_no_whole_secret() {
    let walk = Command::new(env!("CARGO_BIN_EXE_chancery")).args(["dev", "--walk"]).output().unwrap();
    let (printed, told) = (String::from_utf8_lossy(&walk.stdout), String::from_utf8_lossy(&walk.stderr));
    assert!(walk.status.success(), "{printed}\n{told}");
    assert!(printed.ends_with("The journey ends here, as promised at every step.\n"), "{printed}");
    for promised in [
        "The assertion says:",
        "interaction_required",
        "Disconnect",
        "it is worth nothing",
        "iss: http://127.0.0.1",
        "client_id: acme-agent",
    ] {
        assert!(printed.contains(promised), "{promised}: {printed}");
    }
    for (secret, shown) in [("eyJ", 9), ("chy_rt_", 5), ("chy_ac_", 5), ("authorization: Basic ", 12)] {
        let mut printed = printed.split(secret).skip(1).peekable();
        assert!(printed.peek().is_some(), "no {secret} was printed");
        assert!(printed.all(|rest| rest.find('…').is_some_and(|end| end <= shown)), "{secret}");
    }
}

/// `chancery dev`, stopped at the end of the story.
struct House {
    process: Child,
    /// Kept, since a program whose output nobody reads is told so and ends.
    _output: BufReader<ChildStdout>,
    journey: Journey,
}

impl House {
    fn start() -> Self {
        let mut process =
            Command::new(env!("CARGO_BIN_EXE_chancery")).arg("dev").stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let lines = output.by_ref().lines().map(Result::unwrap);
        let told: Vec<_> = lines.take_while(|line| !line.starts_with("Stop with")).collect();
        let word = |label: &str, nth: usize| {
            let line = told.iter().find(|line| line.trim_start().starts_with(label));
            let rest = line.unwrap().trim_start().strip_prefix(label).unwrap();
            rest.split_whitespace().nth(nth).unwrap().to_owned()
        };
        let server: Url = format!("http:{}", word("http:", 0)).parse().unwrap();
        let secret = Secret::new(word("an agent", 5));
        let named = |id: &str| Credentials { id: id.to_owned(), secret: secret.clone() };
        let journey = Journey {
            server: server.clone(),
            elsewhere: server.join("/elsewhere").unwrap().into(),
            user: "Ada".to_owned(),
            connecting: Connecting {
                server: named("notes-server"),
                connection: "profile".to_owned(),
                api: format!("{}/userinfo", word("test provider", 0)).parse().unwrap(),
            },
            inward: Agent {
                provider: word("test provider", 0),
                at_provider: named("agent"),
                server,
                at_server: named("agent"),
            },
            outward: Agent {
                provider: format!("{}/idp", word("broker", 0)),
                at_provider: named("agent"),
                server: word("another company", 4).parse().unwrap(),
                at_server: named("acme-agent"),
            },
        };
        Self { process, _output: output, journey }
    }

    async fn stops_a_walk(&self, change: impl FnOnce(&mut Journey)) -> String {
        let mut journey = self.journey.clone();
        change(&mut journey);
        let stopped = journey.walk(Entropy::System, &mut std::io::sink()).await.unwrap_err();
        format!("{:#}", anyhow::Error::from(stopped))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Where it dies, no file with its memory is left; while it lives, nobody of the same user can read that.
#[cfg(target_os = "linux")]
#[test]
fn a_server_leaves_no_core_and_nobody_looks_into_it() {
    use std::os::unix::fs::MetadataExt as _;
    let house = House::start();
    let process = format!("/proc/{}", house.process.id());
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let owner = std::fs::metadata(format!("{process}/mem")).unwrap().uid();
    assert_eq!(owner, 0, "what cannot be dumped belongs to root");
}

#[tokio::test]
async fn a_deviation_ends_the_walk_at_its_step() {
    let house = House::start();

    let stranger = house.stops_a_walk(|journey| journey.user = "Nobody".to_owned()).await;
    assert!(stranger.starts_with("step 6 of the walk failed"), "{stranger}");
    assert!(stranger.contains("expected a button “Nobody”"), "{stranger}");

    // Were a token for another server good here, the walk would say so.
    let same = house.stops_a_walk(|journey| journey.elsewhere = journey.server.to_string()).await;
    assert!(same.starts_with("step 12 of the walk failed"), "{same}");
    assert!(same.contains("expected the status 401 Unauthorized, got 200 OK"), "{same}");

    let unknown = house.stops_a_walk(|journey| journey.elsewhere = "http://127.0.0.1:1/".to_owned()).await;
    assert!(unknown.starts_with("step 12 of the walk failed"), "{unknown}");
}

/// The agents' part: what an operator has not arranged ends it where it is missing.
#[tokio::test]
async fn so_does_one_of_the_agents() {
    let house = House::start();
    let journey = &house.journey;
    journey.clone().walk(Entropy::System, &mut std::io::sink()).await.unwrap();

    let elsewhere = |journey: &mut Journey| journey.inward.server = journey.outward.server.clone();
    let unapproved = house.stops_a_walk(elsewhere).await;
    assert!(unapproved.starts_with("step 19 of the walk failed"), "{unapproved}");
    assert!(unapproved.contains("invalid_target"), "{unapproved}");

    let unproved = house.stops_a_walk(|journey| journey.inward.at_server.id = "acme-agent".to_owned()).await;
    assert!(unproved.starts_with("step 20 of the walk failed"), "{unproved}");
    assert!(unproved.contains("expected the status 200 OK, got 401"), "{unproved}");

    let unknown = house.stops_a_walk(|journey| journey.outward.at_server.id = "agent".to_owned()).await;
    assert!(unknown.starts_with("step 27 of the walk failed"), "{unknown}");

    // Nor is the account that she connects anybody's but hers, and the server's for which she connects it.
    let nothing = house.stops_a_walk(|journey| journey.connecting.connection = "nothing".to_owned()).await;
    assert!(nothing.starts_with("step 30 of the walk failed"), "{nothing}");
    let stranger = house.stops_a_walk(|journey| journey.connecting.server.id = "agent".to_owned()).await;
    assert!(stranger.starts_with("step 30 of the walk failed"), "{stranger}");
    let elsewhere = house.stops_a_walk(|journey| journey.connecting.api = journey.server.clone()).await;
    assert!(elsewhere.starts_with("step 33 of the walk failed"), "{elsewhere}");
}
