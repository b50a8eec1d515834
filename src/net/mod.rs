//! Every request that leaves the house.
//!
//! Two clients, by who chose the address: [`Upstream`] for what the operator configured, [`Guarded`] for what a
//! stranger supplied. Both bound time, size and redirects, because the other end may be broken or hostile; the second
//! also never contacts an address that lies inside anybody's network.

mod error;
mod freshness;
mod guarded;
pub(crate) mod kept;
mod special_use;
mod upstream;

use std::time::Duration;

use oauth2::HttpResponse;
use url::Url;

pub use error::NetError;
pub use freshness::lifetime;
pub use guarded::Guarded;
pub use kept::Kept;
pub use special_use::is_special_use;
pub use upstream::Upstream;

/// From the first lookup to the last byte of the body. Clients give up on us after about ten seconds, so one upstream
/// call, and one retry of ours, must fit in.
const DEADLINE: Duration = Duration::from_secs(5);
/// For the connection alone, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What both clients have in common; each adds its own.
#[expect(clippy::disallowed_methods, reason = "the one place where an outbound client is made")]
pub(crate) fn bounded() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(DEADLINE)
}

/// A GET that asks for JSON.
fn json_request(url: &Url) -> reqwest::Request {
    let mut request = reqwest::Request::new(reqwest::Method::GET, url.clone());
    request
        .headers_mut()
        .insert(reqwest::header::ACCEPT, reqwest::header::HeaderValue::from_static("application/json"));
    request
}

/// Sends, and reads the answer up to `max_bytes`, counted as they arrive: a declared length is only a claim.
async fn exchange(
    client: &reqwest::Client,
    request: reqwest::Request,
    max_bytes: usize,
) -> Result<HttpResponse, NetError> {
    let mut answer = client.execute(request).await.map_err(NetError::from_reqwest)?;
    if answer.status().is_redirection() {
        return Err(NetError::Redirect(answer.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(NetError::from_reqwest)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(NetError::TooLarge { max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = HttpResponse::new(body);
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

/// An answer with the status 200, or the error that names the status.
fn only_ok(response: HttpResponse) -> Result<HttpResponse, NetError> {
    match response.status().as_u16() {
        200 => Ok(response),
        status => Err(NetError::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::oauth::issuer::Issuer;

    /// A server that answers every connection by `answer`, and the number of connections it has seen.
    async fn server<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream));
            }
        });
        (address, seen)
    }

    /// A server whose every answer is `text`.
    async fn says(text: &'static str) -> SocketAddr {
        let answer = move |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(text.as_bytes()).await;
        };
        server(answer).await.0
    }

    fn development() -> (Upstream, Guarded) {
        let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
        (Upstream::new(&issuer).unwrap(), Guarded::new(&issuer).unwrap())
    }

    fn production() -> (Upstream, Guarded) {
        let issuer = Issuer::try_from("https://auth.example.com".to_owned()).unwrap();
        (Upstream::new(&issuer).unwrap(), Guarded::new(&issuer).unwrap())
    }

    /// Both clients' outcome for the same request.
    async fn both(address: SocketAddr, max_bytes: usize) -> [Result<HttpResponse, NetError>; 2] {
        let (upstream, guarded) = development();
        let url = Url::parse(&format!("http://{address}/document")).unwrap();
        let (a, b) = tokio::join!(upstream.get(&url, max_bytes), guarded.get(&url, max_bytes));
        [a, b]
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_arrives_and_one_byte_more_does_not() {
        let address = says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd").await;
        for answer in both(address, 4).await {
            assert_eq!(answer.unwrap().body(), b"abcd");
        }
        for answer in both(address, 3).await {
            assert!(matches!(answer, Err(NetError::TooLarge { max_bytes: 3 })));
        }
    }

    #[tokio::test]
    async fn a_body_without_a_declared_length_is_cut_off_as_well() {
        let endless = |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 1024]).await.is_ok() {}
        };
        for answer in both(server(endless).await.0, 5 * 1024).await {
            assert_eq!(answer.unwrap_err().to_string(), "answered with more than 5 KB");
        }
    }

    #[tokio::test]
    async fn a_byte_now_and_then_does_not_extend_the_deadline() {
        let drip = |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        let begun = tokio::time::Instant::now();
        for answer in both(server(drip).await.0, 5 * 1024).await {
            assert_eq!(answer.unwrap_err().to_string(), "did not answer within 5 s");
        }
        assert!(begun.elapsed() < DEADLINE + Duration::from_secs(2));
    }

    #[rstest]
    #[case(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
        "answered with a redirect (status 302) instead of the document"
    )]
    #[case("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "answered with the status 503")]
    #[case("HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\n\r\n{}", "answered with the status 206")]
    #[case("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "broke off its answer")]
    #[case("SSH-2.0-OpenSSH_9.2\r\n", "broke off its answer")]
    #[tokio::test]
    async fn only_a_whole_answer_with_status_200_counts(#[case] text: &'static str, #[case] error: &str) {
        for answer in both(says(text).await, 1024).await {
            assert_eq!(answer.unwrap_err().to_string(), error);
        }
    }

    #[tokio::test]
    async fn what_is_not_the_expected_json_is_named_so() {
        let url = format!("http://{}/", says("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>").await);
        let answer = development().0.get_json::<Vec<u8>>(&Url::parse(&url).unwrap(), 1024).await;
        assert!(matches!(answer, Err(NetError::NotJson(_))));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_server_without_tls_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for answer in both(closed, 1024).await {
            assert!(matches!(answer, Err(NetError::Connect(_))));
        }
        let (upstream, guarded) = development();
        let url = Url::parse(&format!("https://{}/", says("no TLS here, sorry").await)).unwrap();
        assert!(matches!(upstream.get(&url, 1024).await, Err(NetError::Tls(_))));
        assert!(matches!(guarded.get(&url, 1024).await, Err(NetError::Tls(_))));
    }

    #[tokio::test]
    async fn production_contacts_this_machine_for_nobody() {
        let (upstream, guarded) = production();
        let (address, seen) = server(|_| async {}).await;
        for scheme in ["http", "https"] {
            for host in ["127.0.0.1", "localhost", "[::1]", "2130706433"] {
                let url = Url::parse(&format!("{scheme}://{host}:{}/", address.port())).unwrap();
                assert!(matches!(upstream.get(&url, 1024).await, Err(NetError::Address(_))), "{url}");
                assert!(guarded.get(&url, 1024).await.is_err(), "{url}");
            }
        }
        // This one reaches the resolver, which finds a loopback address.
        let url = Url::parse(&format!("https://localhost:{}/", address.port())).unwrap();
        assert!(matches!(guarded.get(&url, 1024).await, Err(NetError::NotPublic)));
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }

    /// What somebody else's server names is asked in no network but the public one, whatever the method.
    #[tokio::test]
    async fn strangers_lead_nowhere_inwards() {
        let issuer = |text: &str| Issuer::try_from(text.to_owned()).unwrap();
        let strangers = Upstream::to_strangers(&issuer("https://auth.example.com")).unwrap();
        let (address, seen) = server(|_| async {}).await;
        for host in ["10.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "127.0.0.1", "[::ffff:10.0.0.1]"] {
            let url = Url::parse(&format!("https://{host}:{}/token", address.port())).unwrap();
            assert!(matches!(strangers.may_ask(&url), Err(NetError::NotPublic)), "{url}");
            let mut request = oauth2::HttpRequest::new(Vec::new());
            (*request.method_mut(), *request.uri_mut()) =
                (reqwest::Method::POST, url.as_str().parse().unwrap());
            assert!(matches!(strangers.execute(request).await, Err(NetError::NotPublic)), "{url}");
        }
        // This one is a name, so the resolver judges.
        let url = Url::parse(&format!("https://localhost:{}/", address.port())).unwrap();
        assert!(matches!(strangers.get(&url, 1024).await, Err(NetError::NotPublic)));
        assert_eq!(seen.load(Ordering::SeqCst), 0);
        let strangers = Upstream::to_strangers(&issuer("http://127.0.0.1:9000")).unwrap();
        let url =
            Url::parse(&format!("http://{}/", says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await))
                .unwrap();
        assert!(strangers.get(&url, 1024).await.is_ok(), "in development");
    }

    #[tokio::test]
    async fn strangers_cannot_have_us_call_without_end() {
        let (address, seen) = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let guarded = development().1;
        let mut fetches = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (guarded, url) = (guarded.clone(), url.clone());
            fetches.spawn(async move { guarded.get(&url, 1024).await });
        }
        for _ in 0..100 - 32 {
            assert!(matches!(fetches.join_next().await, Some(Ok(Err(NetError::Busy)))));
        }
        assert_eq!(seen.load(Ordering::SeqCst), 32);
    }

    #[tokio::test]
    async fn the_oauth_crates_may_use_it() {
        use oauth2::AsyncHttpClient as _;
        let address = says("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").await;
        let mut request = oauth2::HttpRequest::new(b"grant_type=x".to_vec());
        *request.method_mut() = reqwest::Method::POST;
        *request.uri_mut() = format!("http://{address}/token").parse().unwrap();
        let answer = development().0.call(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (400, b"{}".as_slice()));
    }
}
