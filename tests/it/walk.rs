//! `chancery dev --walk` goes the whole way, and a house that deviates is noticed.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use chancery::{dev::walk::Journey, entropy::Entropy};
use url::Url;

#[test]
fn the_walk_goes_the_whole_way_and_prints_no_whole_secret() {
    let walk = Command::new(env!("CARGO_BIN_EXE_chancery")).args(["dev", "--walk"]).output().unwrap();
    let (printed, told) = (String::from_utf8_lossy(&walk.stdout), String::from_utf8_lossy(&walk.stderr));
    assert!(walk.status.success(), "{printed}\n{told}");
    assert!(printed.ends_with("The journey ends here, as promised at every step.\n"), "{printed}");
    for secret in ["eyJ", "chy_rt_", "chy_ac_"] {
        let mut shown = printed.split(secret).skip(1).peekable();
        assert!(shown.peek().is_some(), "no {secret} was printed");
        assert!(shown.all(|rest| rest.find('…').is_some_and(|end| end + secret.len() <= 12)), "{secret}");
    }
}

/// `chancery dev`, stopped at the end of the story.
struct House {
    process: Child,
    /// Kept, since a program whose output nobody reads is told so and ends.
    _output: BufReader<ChildStdout>,
    server: Url,
}

impl House {
    fn start() -> Self {
        let mut process =
            Command::new(env!("CARGO_BIN_EXE_chancery")).arg("dev").stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut lines = output.by_ref().lines().map(Result::unwrap);
        let pasted = lines.find(|line| line.trim_start().starts_with("http")).unwrap();
        Self { process, _output: output, server: pasted.trim().parse().unwrap() }
    }

    async fn stops_a_walk(&self, elsewhere: &str, user: &str) -> String {
        let (server, elsewhere, user) = (self.server.clone(), elsewhere.to_owned(), user.to_owned());
        let journey = Journey { server, elsewhere, user };
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

#[tokio::test]
async fn a_deviation_ends_the_walk_at_its_step() {
    let house = House::start();

    let stranger = house.stops_a_walk("http://127.0.0.1:1/", "Nobody").await;
    assert!(stranger.starts_with("step 6 of the walk failed"), "{stranger}");
    assert!(stranger.contains("expected a button “Nobody”"), "{stranger}");

    // Were a token for another server good here, the walk would say so.
    let same = house.stops_a_walk(house.server.as_str(), "Ada").await;
    assert!(same.starts_with("step 12 of the walk failed"), "{same}");
    assert!(same.contains("expected the status 401 Unauthorized, got 200 OK"), "{same}");

    let unknown = house.stops_a_walk("http://127.0.0.1:1/", "Ada").await;
    assert!(unknown.starts_with("step 12 of the walk failed"), "{unknown}");
}
