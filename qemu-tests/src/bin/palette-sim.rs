//! The simulated Palette as a program: for the demo, for virtual machines, and for a look in a browser.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use clap::Parser;
use qemu_tests::palette_sim::{Sim, SimOptions};
use serde_json::json;

/// A simulated Palette: TLS, the edge host API, and a page that lists edge hosts.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen, for example 0.0.0.0:8443; port 0 takes a free one.
    #[arg(long)]
    listen: SocketAddr,
    /// Host name or address in the server's certificate; may be repeated.
    #[arg(long = "name", required = true)]
    names: Vec<String>,
    /// Where to write the certificate of its authority (PEM).
    #[arg(long)]
    ca_out: PathBuf,
    /// Where the key of its authority is kept from one start to the next; made if it is not there.
    #[arg(long)]
    ca_key: Option<PathBuf>,
    /// The registration token that is good.
    #[arg(long)]
    token: Option<String>,
    /// UID of the project that the token allows.
    #[arg(long)]
    project: Option<String>,
    /// What users must send in the header `ApiKey`.
    #[arg(long)]
    api_key: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let kept = arguments.ca_key.as_deref().filter(|path| path.exists());
    let ca_key = kept
        .map(fs::read_to_string)
        .transpose()
        .context("reading the key of the authority")?;
    let is_new = ca_key.is_none();
    let sim = Sim::start(SimOptions {
        listen: arguments.listen,
        names: arguments.names,
        token: arguments.token,
        project: arguments.project,
        api_key: arguments.api_key,
        ca_key,
        ..SimOptions::default()
    })?;
    if let Some(path) = arguments.ca_key.filter(|_| is_new) {
        write(&path, 0o600, &sim.ca_key_pem())?;
    }
    // With a kept key the certificate that others already have stays good, so it is left as it is.
    if is_new || !arguments.ca_out.exists() {
        write(&arguments.ca_out, 0o644, sim.ca_pem())?;
    }
    let ready = json!({
        "event": "ready",
        "addr": sim.addr(),
        "url": format!("https://{}/", sim.addr()),
        "ca": arguments.ca_out,
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()?;
    drop(out);
    loop {
        // The server has its own thread; a signal ends the process.
        thread::park();
    }
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path);
    let mut file = file.with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}
