//! Three pages over HTTP: `/metrics`, `/healthz`, `/readyz`. No keep-alive, a bound on connections, a deadline for each.

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections served at once: a few scrapers and a probe.
const CONNECTIONS_MAX: usize = 8;
/// How long one connection may take.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most: the least that hyper allows.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long not to accept after an error, such as no file handle being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TYPE: &str = "text/plain; charset=utf-8";

/// What the pages show.
pub(crate) trait Face: Send + Sync + 'static {
    /// The text of `/metrics`.
    fn metrics(&self) -> String;
    /// Whether the node can serve, or why not.
    fn ready(&self) -> Result<(), &'static str>;
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, face: Arc<dyn Face>, stop: CancellationToken) {
    serve_each(listener, face, CONNECTION_DEADLINE, stop).await;
}

async fn serve_each(listener: TcpListener, face: Arc<dyn Face>, deadline: Duration, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Over the limit: closed at once.
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let (face, stop) = (face.clone(), stop.child_token());
        tokio::spawn(async move {
            let served = tokio::time::timeout(deadline, connection(stream, face));
            let _ended = stop.run_until_cancelled(served).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, face: Arc<dyn Face>) -> hyper::Result<()> {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = page(request.method(), request.uri().path(), &*face);
        async { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD_BYTES_MAX).serve_connection(TokioIo::new(stream), answer).await
}

fn page(method: &Method, path: &str, face: &dyn Face) -> Response<String> {
    let (status, kind, text) = match path {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN_TYPE, "only to be read\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, METRICS_TYPE, face.metrics()),
        "/healthz" => (StatusCode::OK, PLAIN_TYPE, "alive\n".to_owned()),
        "/readyz" => match face.ready() {
            Ok(()) => (StatusCode::OK, PLAIN_TYPE, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN_TYPE, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN_TYPE, "/metrics, /healthz or /readyz\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A node that is ready when told so.
    struct Told(AtomicBool);

    impl Face for Told {
        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }
        fn ready(&self) -> Result<(), &'static str> {
            if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err("not yet") }
        }
    }

    /// So long that no test reaches it.
    const FOR_EVER: Duration = Duration::from_secs(1 << 40);

    async fn serving(deadline: Duration) -> (SocketAddr, Arc<Told>, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, face, stop) =
            (listener.local_addr().unwrap(), Arc::new(Told(AtomicBool::new(false))), CancellationToken::new());
        tokio::spawn(serve_each(listener, face.clone(), deadline, stop.clone()));
        (address, face, stop)
    }

    async fn say(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may have had enough before it has read all of it.
        let _ended = stream.write_all(request).await;
        let mut said = Vec::new();
        let _cut = stream.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        say(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn there_are_three_pages_to_read() {
        let (address, face, _stop) = serving(FOR_EVER).await;
        let metrics = get(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200") && metrics.ends_with("# EOF\n"), "{metrics}");
        assert!(metrics.contains(METRICS_TYPE), "{metrics}");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = get(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("not yet\n"), "{ready}");
        face.0.store(true, Ordering::Relaxed);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/else").await.starts_with("HTTP/1.1 404"));
        let head = say(address, b"HEAD /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("EOF"), "{head}");
        let post = say(address, b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    }

    #[tokio::test]
    async fn what_is_no_request_is_not_answered() {
        let (address, _face, _stop) = serving(FOR_EVER).await;
        let long = [b"GET /metrics HTTP/1.1\r\nx: ".as_slice(), &vec![b'y'; 4 * HEAD_BYTES_MAX]].concat();
        for bad in [b"\x13/multistream/1.0.0\n".as_slice(), &long] {
            let said = say(address, bad).await;
            assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
        }
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn the_silent_are_closed_at_the_deadline() {
        let (address, _face, _stop) = serving(Duration::from_millis(1)).await;
        assert_eq!(say(address, b"GET /met").await, "");
    }

    #[tokio::test]
    async fn those_over_the_limit_are_closed_and_the_silent_end_with_the_node() {
        let (address, _face, stop) = serving(FOR_EVER).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(get(address, "/healthz").await, "");
        stop.cancel();
        for stream in &mut silent {
            let mut said = Vec::new();
            let _reset = stream.read_to_end(&mut said).await;
            assert!(said.is_empty());
        }
    }
}
