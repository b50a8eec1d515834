//! The accept loop: axum's router behind hyper, with the limits that axum's own server lacks. A client that sends its
//! headers a byte at a time, opens thousands of connections or never ends one cannot keep others out.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn};

/// From the first byte of a request to the end of its headers; and from the opening of a connection to its first
/// request, since hyper waits without end for the bytes that tell HTTP/1 from HTTP/2.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once; each costs a few KB and one file descriptor.
const MAX_CONNECTIONS: usize = 8192;
/// The most that is read of a request ahead of its handler, headers above all: far more than a cookie and a long query
/// take. hyper's own 400 KB, times the connections, would be gigabytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// How long requests under way may take once we are asked to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How long to wait when the system has no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets the requests under way finish.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let asked = Arc::new(Notify::new());
                let connection = graceful.watch(connection(stream, peer, router.clone(), Arc::clone(&asked)));
                tokio::spawn(async move {
                    tokio::select! {
                        ended = connection => if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "connection ended");
                        },
                        () = silence(&asked) => tracing::debug!(%peer, "connection without a request"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped with requests under way");
    }
    Ok(())
}

/// Ends when nothing was asked for too long; never, once something was.
async fn silence(asked: &Notify) {
    if timeout(HEADER_TIMEOUT, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    asked: Arc<Notify>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> {
    // Answers are small: waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    let service = TowerToHyperService::new(service_fn(move |mut request: hyper::Request<Incoming>| {
        asked.notify_one();
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    }));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADER_TIMEOUT).max_concurrent_streams(64);
    builder.serve_connection(TokioIo::new(stream), service).into_owned()
}
