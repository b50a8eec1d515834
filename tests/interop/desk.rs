//! An MCP server that we did not write, `fastmcp` from `PyPI`, with a tool that asks who is calling.

use serde_json::{Value, json};

use super::house::{
    free_port,
    peer::{Peer, python},
};

/// Its place, which is chosen before it opens, so that others can be told of it.
pub(super) struct Desk {
    port: u16,
    pub(super) url: String,
}

impl Desk {
    pub(super) fn choose() -> Self {
        let port = free_port();
        Self { port, url: format!("http://127.0.0.1:{port}/mcp") }
    }

    /// Opens it to those who hold a token of this issuer for reading notes; `options` are further ones of the script.
    pub(super) fn open(&self, issuer: &str, jwks_uri: &str, options: &Value) -> Peer {
        let mut server = json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "port": self.port,
            "scope": "notes:read",
            "scopes_supported": ["notes:read", "notes:write"],
        });
        server.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let server = Peer::start(python("fastmcp_server.py").env("SERVER", server.to_string()));
        assert_eq!(server.said("url"), self.url);
        server
    }
}
