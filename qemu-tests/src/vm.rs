//! A running virtual machine: its console, its events, its screen, its end.
//!
//! Every wait has a limit, ends early when the machine ends, and on failure shows what a person would look at first: the
//! last lines of the serial console, the last events, a picture of the screen.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{Event, EventFile};
use crate::folder::Folder;
use crate::machine::{Builder, EVENTS, FIRMWARE_LOG, QEMU_LOG, SERIAL};
use crate::process::{LIMIT_REACHED, Process};
use crate::qmp::Qmp;
use crate::screen;
use crate::ssh::Login;
use crate::wait::wait_until;

/// How much of the past a failure shows.
const LAST_LINES: usize = 40;
const LAST_EVENTS: usize = 10;
/// QEMU opens its control socket at once, but the machine may be busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The guest switched it off.
    PowerOff,
    /// The guest rebooted it; only with [`Builder::end_at_reboot`].
    Reboot,
    /// This side ended it, by [`Vm::quit`] or a signal.
    Quit,
    /// It reached its hard limit.
    TimeLimit,
    /// QEMU itself failed; with its status.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Reboot => f.write_str("the guest rebooted"),
            Self::Quit => f.write_str("it was ended from outside"),
            Self::TimeLimit => f.write_str("it reached its time limit"),
            Self::Failed(status) => write!(f, "QEMU failed: {status}"),
        }
    }
}

/// A running machine. Dropping it kills it and removes its folder, as [`Folder`] describes.
#[derive(Debug)]
pub struct Vm {
    name: String,
    // Declared before the folder: the process must be dead when its files go.
    process: Process,
    qmp: Qmp,
    events: EventFile,
    /// Events before this index were given to a wait already.
    next_event: usize,
    /// Bytes of the serial console before this one were matched by a wait already.
    next_serial: usize,
    login: Option<Login>,
    exit: Option<Exit>,
    started: Instant,
    folder: Folder,
    _sockets: TempDir,
}

impl Vm {
    /// Begins the description of a machine whose files are in `build/vm/<name>`.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    pub(crate) fn launch(
        name: String,
        folder: Folder,
        sockets: TempDir,
        arguments: &[String],
        limit: Duration,
        login: Option<Login>,
    ) -> Result<Self> {
        let log = folder.file(QEMU_LOG);
        let started = Instant::now();
        let mut process = Process::start("qemu-system-x86_64", arguments, limit, &log)?;
        let socket = sockets.path().join("qmp");
        let qmp = wait_until(START_LIMIT, "QEMU's control socket", || {
            if let Some(status) = process.status()? {
                bail!(
                    "starting QEMU: {status}: {}",
                    fs::read_to_string(&log).unwrap_or_default().trim()
                );
            }
            // The socket exists a moment before somebody listens on it.
            Ok(socket
                .exists()
                .then(|| Qmp::connect(&socket).ok())
                .flatten())
        })?;
        let events = EventFile::new(folder.file(EVENTS));
        Ok(Self {
            name,
            process,
            qmp,
            events,
            next_event: 0,
            next_serial: 0,
            login,
            exit: None,
            started,
            folder,
            _sockets: sockets,
        })
    }

    /// The folder with the machine's files: `serial.log`, `events.jsonl`, `qemu.log`, pictures.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// When it was switched on.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Process id of the group that QEMU runs in.
    pub fn process_group(&self) -> u32 {
        self.process.id()
    }

    /// Everything on the serial console so far; bytes that are no UTF-8 are replaced.
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&self.serial_bytes()).into_owned()
    }

    /// What a terminal of 80x24 on the serial line would show now.
    pub fn serial_screen(&self) -> String {
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(&self.serial_bytes());
        terminal.screen().contents()
    }

    fn serial_bytes(&self) -> Vec<u8> {
        // QEMU makes the file when it starts; before that nothing was said.
        fs::read(self.folder.file(SERIAL)).unwrap_or_default()
    }

    /// All events so far, oldest first.
    ///
    /// # Errors
    /// The file of events cannot be read.
    pub fn events(&mut self) -> Result<&[Event]> {
        self.events.read()
    }

    /// Lines on the event port that were not JSON objects.
    pub fn unreadable_events(&self) -> &[String] {
        self.events.unreadable()
    }

    /// The next event, if one has come that no wait has returned or passed over yet.
    ///
    /// # Errors
    /// The file of events cannot be read.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        let event = self.events.read()?.get(self.next_event).cloned();
        self.next_event += usize::from(event.is_some());
        Ok(event)
    }

    /// Waits for the first event that `wanted` accepts; events before it are passed over, for later waits too.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first.
    pub fn wait_event(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        self.wait(limit, &format!("the event {what}"), |vm| {
            while let Some(event) = vm.next_event()? {
                if wanted(&event) {
                    return Ok(Some(event));
                }
            }
            Ok(None)
        })
    }

    /// Waits until `text` is on the serial console, after what an earlier wait matched.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first.
    pub fn wait_serial(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait(limit, &format!("{text:?} on the serial console"), |vm| {
            let bytes = vm.serial_bytes();
            let fresh = bytes.get(vm.next_serial..).unwrap_or_default();
            let Some(at) = fresh
                .windows(text.len().max(1))
                .position(|window| window == text.as_bytes())
            else {
                return Ok(None);
            };
            vm.next_serial += at + text.len();
            Ok(Some(()))
        })
    }

    /// Waits until a terminal on the serial line shows `text`; for programs that draw.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first.
    pub fn wait_serial_screen(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait(limit, &format!("{text:?} on the serial terminal"), |vm| {
            Ok(vm.serial_screen().contains(text).then_some(()))
        })
    }

    /// Waits until the firmware has said `text`. Only `SeaBIOS` says anything; its messages are those of its screen.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first.
    pub fn wait_firmware(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait(limit, &format!("{text:?} from the firmware"), |vm| {
            let said = fs::read(vm.folder.file(FIRMWARE_LOG)).unwrap_or_default();
            Ok(String::from_utf8_lossy(&said).contains(text).then_some(()))
        })
    }

    /// Waits for the end of the machine and says which one it was.
    ///
    /// # Errors
    /// `limit` passed first.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<Exit> {
        let result = wait_until(limit, "the machine to end", || self.exit());
        result.map_err(|error| self.explain(&error))
    }

    /// How the machine ended, or `None` while it runs.
    ///
    /// # Errors
    /// The state of the process cannot be read.
    pub fn exit(&mut self) -> Result<Option<Exit>> {
        if self.exit.is_none()
            && let Some(status) = self.process.status()?
        {
            self.qmp.drain();
            let shutdown = self.qmp.events("SHUTDOWN").pop();
            let reason = shutdown
                .as_ref()
                .and_then(|event| event.pointer("/data/reason"))
                .and_then(Value::as_str);
            self.exit = Some(match (reason, status.code()) {
                (_, Some(LIMIT_REACHED)) => Exit::TimeLimit,
                (Some("guest-shutdown"), Some(0)) => Exit::PowerOff,
                (Some("guest-reset"), Some(0)) => Exit::Reboot,
                (Some("host-qmp-quit" | "host-signal"), _) => Exit::Quit,
                _ => Exit::Failed(status.to_string()),
            });
        }
        Ok(self.exit.clone())
    }

    /// Waits for an answer that only this machine can give; ends early when the machine ends.
    ///
    /// # Errors
    /// `limit` passed, the machine ended, or the probe failed; each with what the machine said last.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut probe: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let result = wait_until(limit, what, || {
            // In this order: what was written just before the end still counts.
            let ended = self.exit()?;
            match (probe(self)?, ended) {
                (Some(answer), _) => Ok(Some(answer)),
                (None, Some(exit)) => bail!("the machine ended while waiting for {what}: {exit}"),
                (None, None) => Ok(None),
            }
        });
        result.map_err(|error| self.explain(&error))
    }

    /// Photographs the VGA screen into `<name>.png` in the machine's folder.
    ///
    /// # Errors
    /// The machine has ended, or the picture cannot be written.
    pub fn screenshot(&mut self, name: &str) -> Result<PathBuf> {
        let ppm = self.folder.file(&format!("{name}.ppm"));
        let png = self.folder.file(&format!("{name}.png"));
        self.qmp.execute("screendump", json!({"filename": ppm}))?;
        screen::ppm_to_png(&ppm, &png)?;
        fs::remove_file(&ppm).context("removing the raw picture")?;
        Ok(png)
    }

    /// Waits until the screen shows a QR code; returns its text and the picture `<name>.png`.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first.
    pub fn wait_qr(&mut self, name: &str, limit: Duration) -> Result<(String, PathBuf)> {
        self.wait(limit, "a QR code on the screen", |vm| {
            let picture = vm.screenshot(name)?;
            Ok(screen::decode_qr(&picture)?.map(|text| (text, picture)))
        })
    }

    /// Presses keys at the same time on the machine's keyboard, by their QEMU names (`ret`, `down`, `alt`, `f2`, ...).
    ///
    /// # Errors
    /// The machine has ended, or a name is unknown.
    pub fn press(&mut self, keys: &[&str]) -> Result<()> {
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| json!({"type": "qcode", "data": key}))
            .collect();
        self.qmp
            .execute("send-key", json!({"keys": keys}))
            .map(drop)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp.execute("system_reset", json!({})).map(drop)
    }

    /// Presses the power button; what follows is the guest's decision.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn press_power(&mut self) -> Result<()> {
        self.qmp.execute("system_powerdown", json!({})).map(drop)
    }

    /// How often the machine was reset so far, by the guest, its firmware (some reset once more for themselves) or
    /// [`Vm::reset`].
    pub fn resets(&self) -> usize {
        self.qmp.events("RESET").len()
    }

    /// Ends the machine as pulling the plug does, with everything QEMU holds written to the image files.
    ///
    /// # Errors
    /// QEMU does not end within a minute.
    pub fn quit(&mut self) -> Result<()> {
        // It may have ended by itself, or end before it has answered.
        drop(self.qmp.execute("quit", json!({})));
        self.wait_exit(START_LIMIT).map(drop)
    }

    /// QMP, for what has no method here.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Keeps the machine's folder.
    pub fn keep(&mut self) {
        self.folder.keep();
    }

    /// Waits until somebody answers SSH logins.
    ///
    /// # Errors
    /// `limit` passed or the machine ended first, or the machine was built without [`Builder::login`].
    pub fn wait_ssh(&mut self, limit: Duration) -> Result<()> {
        self.wait(limit, "an SSH login", |vm| {
            let output = vm.ssh_with_input("true", b"")?;
            Ok(output.status.success().then_some(()))
        })
    }

    /// Runs a command in the guest, as the login of the builder. Status 255 means that no login was possible.
    ///
    /// # Errors
    /// The machine has no login, or `ssh` cannot be started here.
    pub fn ssh(&mut self, command: &str) -> Result<Output> {
        self.ssh_with_input(command, b"")
    }

    /// As [`Vm::ssh`], with `input` on the command's standard input.
    ///
    /// # Errors
    /// As [`Vm::ssh`].
    pub fn ssh_with_input(&mut self, command: &str, input: &[u8]) -> Result<Output> {
        let port = self.ssh_port()?;
        let login = self
            .login
            .as_ref()
            .context("the machine was built without a login")?;
        login.run(port, command, input)
    }

    /// The port of 127.0.0.1 that leads to the guest's port 22.
    ///
    /// # Errors
    /// The machine has ended, or QEMU's answer is not understood.
    pub fn ssh_port(&mut self) -> Result<u16> {
        let table = self.qmp.monitor("info usernet")?;
        forwarded_port(&table).with_context(|| format!("finding the forwarded port in {table:?}"))
    }

    /// Adds to an error what a person would look at first, and keeps the files.
    fn explain(&mut self, error: &anyhow::Error) -> anyhow::Error {
        self.folder.keep();
        let mut report = vec![
            format!("{}: {error:#}", self.name),
            "--- last lines of the serial console".to_owned(),
        ];
        let serial = self.serial();
        let lines: Vec<&str> = serial.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        report.extend(lines.iter().skip(from).map(ToString::to_string));
        report.push("--- last events".to_owned());
        let events = self.events.read().unwrap_or_default();
        let from = events.len().saturating_sub(LAST_EVENTS);
        report.extend(events.iter().skip(from).map(ToString::to_string));
        report.push(match self.screenshot("failure") {
            Ok(picture) => format!("--- screen: {}", picture.display()),
            Err(reason) => format!("--- no picture of the screen: {reason:#}"),
        });
        report.push(format!("--- files: {}", self.folder().display()));
        anyhow!(report.join("\n"))
    }
}

/// The host port of the only forwarding in the table that `info usernet` prints.
///
/// A line is: protocol with state, descriptor, source address, source port, destination address, destination port, queues.
fn forwarded_port(table: &str) -> Option<u16> {
    let line = table
        .lines()
        .find(|line| line.trim_start().starts_with("TCP[HOST_FORWARD]"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_port_is_found_among_connections() {
        let table = "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                     TCP[ESTABLISHED]  14       127.0.0.1 40000       10.0.2.15    22     0     0\r\n  \
                     TCP[HOST_FORWARD]  13       127.0.0.1 34567       10.0.2.15    22     0     0\r\n";
        assert_eq!(forwarded_port(table), Some(34567));
        assert_eq!(forwarded_port("Hub -1 (net):\r\n"), None);
    }
}
