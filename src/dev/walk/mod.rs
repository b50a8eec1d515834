//! `chancery dev --walk`: plays an MCP client and a person's browser through the whole journey, prints each request
//! and answer, and stops at the first deviation from what the standards promise.
//!
//! It knows one URL, as a client does, and finds everything else: endpoints in metadata, forms in pages. So it walks
//! whatever is there, and what it prints is what happens.

mod agent;
mod browser;
mod client;
mod connecting;
mod crossing;
mod page;
mod story;
mod wire;

use std::io::Write;

use url::Url;

use self::wire::Wire;
use crate::{entropy::Entropy, secret::Secret};

/// Where the walk's clients would listen. Nobody does: the browser stops there.
pub const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";

/// What the walk needs to be told.
#[derive(Debug, Clone)]
pub struct Journey {
    /// The MCP endpoint: all that a person pastes into her client.
    pub server: Url,
    /// Another resource of the same broker, whose tokens the server must refuse.
    pub elsewhere: String,
    /// The user to sign in as: words on the button at the provider.
    pub user: String,
    /// What the server needs of the person's account elsewhere.
    pub connecting: Connecting,
    /// An agent that reaches the same server by the word of the company's provider.
    pub inward: Agent,
    /// One that reaches another company's server by the broker's own word.
    pub outward: Agent,
}

/// An application that operators registered: where it signs people in, and where it wants to go.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The issuer by which people sign in, and which gives its word for them.
    pub provider: String,
    /// Who it is there.
    pub at_provider: Credentials,
    /// The MCP server that it wants to reach.
    pub server: Url,
    /// Who it is at that server's authorization server.
    pub at_server: Credentials,
}

/// A vendor at which the person has an account, and the server that calls its API for her.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// Who the server is at the broker.
    pub server: Credentials,
    /// The name of the connection.
    pub connection: String,
    /// An address of the vendor's API that says whose the account is.
    pub api: Url,
}

/// Who a confidential client is.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Its `client_id`.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
}

/// Something other than promised.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, got {got}")]
pub struct Deviation {
    expected: String,
    got: String,
}

impl Deviation {
    fn new(expected: &str, got: &str) -> Self {
        Self { expected: expected.to_owned(), got: got.to_owned() }
    }

    fn unless(
        holds: bool,
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { expected: expected(), got: got() }) }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// An answer that deviates.
    #[error(transparent)]
    Deviation(#[from] Deviation),
    /// No answer at all.
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    /// The printout could not be written.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

/// The step at which the walk ended early.
#[derive(Debug, thiserror::Error)]
#[error("step {number} of the walk failed ({title})")]
pub struct Stopped {
    number: usize,
    title: &'static str,
    #[source]
    cause: WalkError,
}

impl Journey {
    /// Walks from the first refused call to the end of a stolen refresh token, then with the agents, and then to the
    /// person's account elsewhere and back, printing to `out`.
    ///
    /// # Errors
    /// The first deviation, with its step.
    pub async fn walk(&self, entropy: Entropy, out: &mut (dyn Write + Send)) -> Result<(), Stopped> {
        let mut wire = Wire::new(out).map_err(|cause| Stopped {
            number: 0,
            title: "before the first",
            cause: cause.into(),
        })?;
        match story::tell(self, &mut wire, entropy).await {
            Ok(()) => Ok(()),
            Err(cause) => {
                let (number, title) = wire.step;
                Err(Stopped { number, title, cause })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{clock::Clock, dev::sample::SampleServer, oauth::issuer::Issuer};

    /// An agent that the walk never comes to.
    fn nobodys(server: &str) -> Agent {
        let nobody = || Credentials { id: "nobody".to_owned(), secret: Secret::new("none".to_owned()) };
        Agent {
            provider: "http://127.0.0.1:9".to_owned(),
            at_provider: nobody(),
            server: Url::parse(server).unwrap(),
            at_server: nobody(),
        }
    }

    /// The sample server runs and its broker does not.
    #[tokio::test]
    async fn it_stops_at_the_first_step_that_fails_and_says_which() {
        let nobody = Issuer::try_from("http://127.0.0.1:9".to_owned()).unwrap();
        let server = SampleServer::bind(0, &nobody, Clock::System).await.unwrap();
        let journey = Journey {
            server: Url::parse(server.resource()).unwrap(),
            elsewhere: format!("{}/elsewhere", server.origin()),
            user: "Ada Lovelace".to_owned(),
            connecting: Connecting {
                server: nobodys(server.resource()).at_server,
                connection: "nothing".to_owned(),
                api: Url::parse(server.resource()).unwrap(),
            },
            inward: nobodys(server.resource()),
            outward: nobodys(server.resource()),
        };
        tokio::spawn(server.serve(CancellationToken::new()));
        let mut out = Vec::new();
        let stopped = journey.walk(Entropy::seeded(1), &mut out).await.unwrap_err();
        assert_eq!(stopped.number, 3);
        assert!(matches!(stopped.cause, WalkError::Http(_)));
        let out = String::from_utf8(out).unwrap();
        for printed in [
            "1. ",
            "→ POST",
            "← 401",
            "www-authenticate: Bearer",
            "2. ",
            "← 200",
            "scopes_supported: [",
            "3. ",
        ] {
            assert!(out.contains(printed), "{printed}: {out}");
        }
    }
}
