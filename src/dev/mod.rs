//! The parts of `chancery dev` that stand around the broker: an OpenID provider with two test users, a sample
//! protected MCP server, and the walk that plays a client and a browser through the whole journey.
//!
//! Both servers speak to the broker as strangers would, over HTTP and by the standards alone. They take a port and
//! never an address: nothing here can be made to listen beyond this machine.

pub mod provider;
pub mod sample;
pub mod walk;

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

/// A listener on `127.0.0.1`, and the origin under which it is reached. Port 0 lets the system choose.
async fn bind_loopback(port: u16) -> std::io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}
