//! A page over HTTP: one `GET` a connection, one connection at a time.
//!
//! Bounds: a request has 8 KiB and two seconds, an answer two seconds more; who comes meanwhile waits in the system's queue. A
//! thread of its own serves, so a scrape never waits for the run, nor the run for a scrape.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, ErrorKind, Result};

const REQUEST_BYTES: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries after the system refused a connection, as when no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Server {
    /// Serves what `page` gives at `/metrics` of `host:port`; port 0 is any that is free.
    ///
    /// # Errors
    /// `Config` where the host is none of this machine's, or the port is taken; `Internal` where a thread is refused.
    pub fn open(host: &str, port: u16, page: impl Fn() -> String + Send + 'static) -> Result<Self> {
        let taken = |cause: &dyn std::fmt::Display| {
            Error::config(format!("metrics can't be served at {host}:{port}: {cause}"))
                .help("Choose another --metrics-port, or 0 for any that is free")
        };
        let addresses = (host, port).to_socket_addrs().map_err(|e| taken(&e))?.collect::<Vec<_>>();
        let listener = TcpListener::bind(addresses.as_slice()).map_err(|e| taken(&e))?;
        let address = listener.local_addr().map_err(|e| taken(&e))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("citystream-metrics".to_owned())
            .spawn(move || serve(&listener, &stopped, &page))
            .context(ErrorKind::Internal, || "the thread of the metrics could not be started".to_owned())?;
        Ok(Self { address, stop, thread: Some(thread), process: std::process::id() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fork has the struct but not the thread.
        if self.process != std::process::id() {
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        let host = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        // It waits for a connection; where it can't be given one, the thread is left to the process's end.
        if TcpStream::connect_timeout(&SocketAddr::new(host, self.address.port()), PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool, page: &dyn Fn() -> String) {
    loop {
        let connection = listener.accept();
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match connection {
            // A scraper that goes away in the middle is its own business.
            Ok((stream, _)) => drop(answer(stream, page)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn answer(mut stream: TcpStream, page: &dyn Fn() -> String) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(&mut stream)?;
    let (status, body) = match request.as_deref().map(|line| line.split(' ').collect::<Vec<_>>()).as_deref() {
        Some([method @ ("GET" | "HEAD"), path, version]) if version.starts_with("HTTP/1.") => {
            match path.split('?').next() {
                Some("/metrics") => ("200 OK", if *method == "GET" { page() } else { String::new() }),
                _ => ("404 Not Found", "The metrics are at /metrics.\n".to_owned()),
            }
        }
        Some([_, _, version]) if version.starts_with("HTTP/1.") => ("405 Method Not Allowed", "Only GET.\n".to_owned()),
        _ => ("400 Bad Request", "This is no HTTP request.\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// The first line of a request, whose head must have come to its end; none where it is too long or no text.
fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if bytes.len() > REQUEST_BYTES {
            return Ok(None);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8(line.to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.write_all(request).expect("it reads");
        let mut answer = Vec::new();
        // What it didn't read makes the system reset the connection behind the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("text")
    }

    #[test]
    fn a_page_is_served_again_and_again_and_nonsense_is_refused() {
        let count = std::sync::atomic::AtomicU32::new(0);
        let page = move || format!("page {}\n", count.fetch_add(1, Ordering::Relaxed));
        let server = Server::open("127.0.0.1", 0, page).expect("a free port");
        for n in 0..3 {
            let answer = ask(&server, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("version=0.0.4") && answer.ends_with(&format!("\r\n\r\npage {n}\n")), "{answer}");
        }
        assert!(ask(&server, b"HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask(&server, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(&server, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask(&server, b"hello\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(ask(&server, &vec![b'x'; REQUEST_BYTES + 2_000]).starts_with("HTTP/1.1 400"));
        // One that goes away without a word does no harm, nor does one that never ends.
        drop(TcpStream::connect(server.address()));
        let silent = TcpStream::connect(server.address()).expect("it listens");
        assert!(ask(&server, b"GET /metrics HTTP/1.1\r\n\r\n").ends_with("page 3\n"));
        drop(silent);
    }

    #[test]
    fn a_port_is_taken_until_the_server_is_gone() {
        let server = Server::open("127.0.0.1", 0, String::new).expect("a free port");
        let port = server.address().port();
        let second = Server::open("127.0.0.1", port, String::new).map_err(|e| e.to_string());
        assert!(second.is_err_and(|m| m.contains(&format!("127.0.0.1:{port}")) && m.contains("--metrics-port")));
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
