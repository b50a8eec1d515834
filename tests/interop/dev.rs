//! `chancery dev`, as a newcomer meets it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::json;

use super::{client, options, step};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn chancery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn the_url_that_it_shows_is_all_that_a_client_needs() {
    let mut dev = Running(chancery(&["dev"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(dev.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find(|line| line.trim().starts_with("http://127.0.0.1:")).unwrap();
    let mut options = options(url.trim(), &json!(null));
    options["person"]["login"] = "test-user-ada".into();
    let steps = client("sdk2.mjs", &options);
    assert_eq!(step(&steps, "step-up")["granted"], "notes:read notes:write");
}

#[test]
fn its_walk_ends_well() {
    let ended = chancery(&["dev", "--walk"]).output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("invalid_grant"), "the walk tries a code twice: {said}");
}
