//! Logins into a guest with the real `ssh` client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result};

use crate::door;

/// A key pair in a folder of its own test.
#[derive(Debug, Clone)]
pub struct KeyPair {
    private: PathBuf,
    public: String,
}

impl KeyPair {
    /// Makes a new Ed25519 pair as `id` and `id.pub` in `folder`, without passphrase.
    ///
    /// # Errors
    /// `ssh-keygen` failed.
    pub fn generate(folder: &Path) -> Result<Self> {
        let private = folder.join("id");
        for old in [private.clone(), private.with_extension("pub")] {
            drop(fs::remove_file(old));
        }
        door::run(
            door::command("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "landfall-test", "-f"])
                .arg(&private),
        )?;
        let public =
            fs::read_to_string(private.with_extension("pub")).context("reading the public key")?;
        Ok(Self {
            private,
            public: public.trim().to_owned(),
        })
    }

    /// The line for `ssh_authorized_keys`.
    pub fn public(&self) -> &str {
        &self.public
    }
}

/// Who logs in, with what.
#[derive(Debug, Clone)]
pub struct Login {
    /// Account in the guest.
    pub user: String,
    /// Key of that account.
    pub key: KeyPair,
}

impl Login {
    /// Runs `command` in the guest behind port `port` of 127.0.0.1, with `input` on its standard input.
    ///
    /// The exit status is that of the remote command; 255 means that no login was possible.
    ///
    /// # Errors
    /// `ssh` cannot be started here.
    pub fn run(&self, port: u16, command: &str, input: &[u8]) -> Result<Output> {
        let mut ssh = door::command("ssh");
        ssh.arg("-i")
            .arg(&self.key.private)
            .args(["-p", &port.to_string()]);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            // A guest under emulation is slow with key exchange, and silent while it boots.
            "ConnectTimeout=20",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=6",
        ] {
            ssh.args(["-o", option]);
        }
        // Nothing of this machine's own client configuration may decide a test.
        ssh.args(["-F", "none"])
            .arg(format!("{}@127.0.0.1", self.user))
            .arg(command);
        door::output_with_input(&mut ssh, input)
    }
}
