//! A simulated Palette: a TLS server with the endpoints that an edge host and its operator use on the way to
//! `healthy`, their status codes and their state machine, and a page on which people watch and add edge hosts.
//!
//! Nothing of the real product is in it but the published API: paths, bodies, codes, states and rate limit.

mod api;
mod certs;
mod rate;
mod world;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use axum_server::{Handle, tls_rustls::RustlsConfig};

pub use api::Answer;
pub use certs::Validity;
pub use world::{HealthState, HostRecord, HostState, Refusal};

use api::Shared;
use certs::Authority;
use world::World;

/// How to start a [`Sim`].
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host names and addresses in the server's certificate.
    pub names: Vec<String>,
    /// The registration token that is good; none is without it.
    pub token: Option<String>,
    /// UID of the project that the token allows; without it every project is right.
    pub project: Option<String>,
    /// What users must send in the header `ApiKey`; without it they need none.
    pub api_key: Option<String>,
    /// Key of the authority (PEM), so that its certificate stays good over several starts.
    pub ca_key: Option<String>,
    /// When the server's certificate is valid.
    pub validity: Validity,
    /// After how long without a report a host becomes unhealthy.
    pub silence: Duration,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            token: None,
            project: None,
            api_key: None,
            ca_key: None,
            validity: Validity::Now,
            silence: Duration::from_secs(90),
        }
    }
}

/// A running simulated Palette; dropping it stops it.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    authority: Authority,
    addr: SocketAddr,
    handle: Handle<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts the server on a thread of its own; it takes connections when this returns.
    pub fn start(options: SimOptions) -> Result<Self> {
        let authority = Authority::new(options.ca_key.as_deref())?;
        let tls = authority.server(&options.names, options.validity)?;
        let listener = TcpListener::bind(options.listen)
            .with_context(|| format!("listening on {}", options.listen))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let world = World::new(options.token, options.project, options.silence);
        let shared = Arc::new(Shared::new(world, options.api_key));
        let handle = Handle::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let app = api::router(shared.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let server = {
            // The server takes the socket over for the runtime that is entered.
            let _entered = runtime.enter();
            let tls = RustlsConfig::from_config(Arc::new(tls));
            axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone())
        };
        let thread = thread::Builder::new()
            .name("palette-sim".to_owned())
            .spawn(move || {
                // A server that ends is seen by its callers, who get no answers.
                drop(runtime.block_on(server.serve(app)));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared,
            authority,
            addr,
            handle,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Certificate of its authority, PEM: what `stylus.site.caCerts` needs.
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// Private key of its authority, PEM, for [`SimOptions::ca_key`].
    pub fn ca_key_pem(&self) -> String {
        self.authority.key_pem()
    }

    /// All edge hosts, sorted by ID.
    pub fn hosts(&self) -> Vec<HostRecord> {
        self.shared.world().hosts(SystemTime::now())
    }

    /// Adds a host as a user does in the console.
    pub fn add_host(&self, id: &str) -> Result<(), Refusal> {
        self.shared.world().add(id, BTreeMap::new())
    }

    /// Deletes a host as a user does in the console.
    pub fn delete_host(&self, id: &str) -> Result<(), Refusal> {
        self.shared.world().delete(id)
    }

    /// Answers the next `n` API calls with this status and body.
    pub fn fail_next(&self, n: usize, status: u16, body: &str) {
        for _ in 0..n {
            self.answer_next(Answer {
                status,
                body: body.to_owned(),
                ..Answer::default()
            });
        }
    }

    /// Answers the next API call that no earlier answer is kept for.
    pub fn answer_next(&self, answer: Answer) {
        self.shared.answers().push_back(answer);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has printed why; there is nothing left to stop.
            drop(thread.join());
        }
    }
}
