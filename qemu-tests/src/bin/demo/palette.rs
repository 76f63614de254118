//! The simulated Palette of the demo: its server, and its public API as a user of the web page calls it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use qemu_tests::palette_sim::{Sim, SimOptions};
use qemu_tests::user_data::HOST_FOR_GUESTS;
use reqwest::blocking::Client;
use serde_json::{Value, json};

/// UID of the demo's project.
pub(crate) const PROJECT: &str = "5f5f5f5f5f5f5f5f5f5f5f5f";

pub(crate) struct Palette {
    sim: Sim,
    client: Client,
}

impl Palette {
    pub(crate) fn start() -> Result<Self> {
        // Somebody else may have chosen a provider already, and any will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let sim = Sim::start(SimOptions {
            names: [HOST_FOR_GUESTS, "127.0.0.1", "localhost"]
                .map(str::to_owned)
                .to_vec(),
            project: Some(PROJECT.to_owned()),
            ..SimOptions::default()
        })
        .context("starting the simulated Palette")?;
        let authority = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes())
            .context("reading its authority")?;
        let client = Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .context("making a client of the API")?;
        Ok(Self { sim, client })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.sim.addr()
    }

    pub(crate) fn port(&self) -> u16 {
        self.sim.addr().port()
    }

    pub(crate) fn ca_pem(&self) -> &str {
        self.sim.ca_pem()
    }

    /// Adds an edge host, with the request that the web page sends.
    pub(crate) fn add_edge_host(&self, id: &str) -> Result<()> {
        let body =
            json!({"metadata": {"uid": id, "name": id, "labels": {"made-by": "demo"}}}).to_string();
        let response = self
            .client
            .post(format!("https://127.0.0.1:{}/v1/edgehosts", self.port()))
            .header("ProjectUid", PROJECT)
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .context("adding the edge host")?;
        let status = response.status();
        if status != 201 {
            bail!(
                "adding the edge host: {status}: {}",
                response.text().unwrap_or_default()
            );
        }
        Ok(())
    }

    /// State and health of a host in the simulator's own record, in the words of the API.
    pub(crate) fn record(&self, id: &str) -> Option<(String, String)> {
        let record = self
            .sim
            .hosts()
            .into_iter()
            .find(|record| record.uid == id)?;
        let word = |value: Option<Value>| {
            value
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or("none")
                .to_owned()
        };
        Some((
            word(serde_json::to_value(record.state).ok()),
            word(serde_json::to_value(record.health).ok()),
        ))
    }
}
