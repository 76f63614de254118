//! A server that gives prepared answers, byte by byte, with or without TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One answer: its bytes, with a pause before each but the first.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) pause: Duration,
}

/// An answer with this status line, these headers and a body of the right length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    raw(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    ))
}

pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer {
        parts: vec![bytes.into()],
        pause: Duration::ZERO,
    }
}

/// A certificate authority that exists for one test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// TLS for `name`, with a certificate that ends in this year.
    pub(crate) fn tls(&self, name: &str, end: i32) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

pub(crate) struct Server {
    pub(crate) port: u16,
    /// The first lines of all requests so far.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Gives one answer to each connection, in this order; afterwards nobody is served.
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                match &tls {
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        serve(StreamOwned::new(connection, stream), &answer, &log);
                    }
                    None => serve::<TcpStream>(stream, &answer, &log),
                }
            }
        });
        Self { port, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A client that does not trust or that leaves early is no fault of the server's.
fn serve<S: Read + Write>(stream: S, answer: &Answer, log: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    log.lock().unwrap().push(line.trim_end().to_owned());
    while stream.read_line(&mut line).unwrap_or(0) > 2 {}
    for (index, part) in answer.parts.iter().enumerate() {
        if index > 0 {
            thread::sleep(answer.pause);
        }
        let stream = stream.get_mut();
        if stream
            .write_all(part)
            .and_then(|()| stream.flush())
            .is_err()
        {
            return;
        }
    }
}
