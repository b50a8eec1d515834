//! The binary's own commands, as an operator runs them beside a server.

use std::process::Command;

use serde_json::Value;

use super::Server;

/// What a command said.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    /// What it printed as JSON, if it succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

impl Server {
    /// Runs `chancery admin` by this server's configuration.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Told {
        self.command(&[&["admin"], arguments].concat())
    }

    /// Runs `chancery` by this server's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        let output = command.args(arguments).arg("--config").arg(self.config_file()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Told { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs it and expects it to succeed.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Value {
        self.admin(&[arguments, &["--json"]].concat()).json()
    }
}
