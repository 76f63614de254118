//! What happens and what happened: events while an install runs, the report when it is over.
//!
//! `docs/interfaces.md` is the schema of the events; readers ignore what they do not know.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use serde::Serialize;

use crate::code::Trouble;
use crate::documents::Account;

/// Version of the events' schema.
const EVENT_VERSION: u32 = 1;

/// Port of a virtual machine that wants to follow (see `docs/interfaces.md`).
pub const EVENTS_PORT: &str = "/dev/virtio-ports/landfall.events";

/// How the process ends: the one thing a caller must know is whether the disk was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused; the disk was not touched.
    Refused = 1,
    /// Wrong arguments.
    Usage = 2,
    /// Failed; the disk was changed and does not boot (after a reset it may).
    Failed = 3,
}

/// What the machine does after a finished install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Next {
    /// `install.reboot: true`.
    Reboot,
    /// `install.poweroff: true`, which wins over `reboot`.
    Poweroff,
    /// Neither: the screen stays.
    Wait,
}

/// The parts of an install that a screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Partition table and file systems.
    Prepare,
    /// The images.
    Write,
    /// The read-back.
    Verify,
    /// Configuration and log.
    Configure,
    /// The boot chain.
    Boot,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Prepare,
        Self::Write,
        Self::Verify,
        Self::Configure,
        Self::Boot,
    ];

    /// The word on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "Prepare",
            Self::Write => "Write",
            Self::Verify => "Verify",
            Self::Configure => "Configure",
            Self::Boot => "Boot",
        }
    }
}

/// One line of the event stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The program runs.
    Started {
        /// Which one: `install`, `repair`, `reset`, or `recovery` for the choice between them.
        program: String,
        /// Version of Landfall.
        version: String,
        /// Seconds since the kernel started.
        uptime_s: f64,
    },
    /// Something has to come from outside first; said every second.
    Waiting {
        /// What, in words.
        what: String,
        /// Seconds until it is given up.
        left_s: u64,
    },
    /// The user-data is read and right: where it came from, and which document won.
    UserData(Account),
    /// The plan is made: this disk gets this image.
    Target {
        /// The disk in words.
        disk: String,
        /// Id of the image.
        image_id: String,
        /// Version of the image.
        image_version: String,
    },
    /// A step of the plan begins.
    Step {
        /// From 1.
        index: usize,
        /// Number of steps.
        of: usize,
        /// The part of the install it belongs to.
        phase: Phase,
        /// The step in words.
        text: String,
    },
    /// A long step goes on.
    Progress {
        /// What is being written.
        what: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// Bytes per second.
        rate: u64,
        /// Seconds left at that rate.
        left_s: f64,
    },
    /// A remark worth keeping, such as a size that was raised.
    Note {
        /// One sentence.
        text: String,
    },
    /// After a refusal: somebody can choose a disk on the screen.
    Asking {
        /// Code of the refusal.
        code: String,
        /// Its reason.
        reason: String,
        /// The disks of this machine.
        disks: Vec<AskedDisk>,
        /// Seconds since the kernel started.
        uptime_s: f64,
    },
    /// This run follows a choice on the screen.
    Chosen {
        /// The choice as user-data.
        document: String,
    },
    /// The end.
    Finished(Finished),
}

/// A disk that somebody is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedDisk {
    /// Device node.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Model as the drive tells it; may be empty.
    pub model: String,
    /// Serial number as the drive tells it; may be empty.
    pub serial: String,
    /// What is on it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
    /// Whether its data can be kept.
    pub can_keep: bool,
    /// Why it cannot be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// How an install ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finished {
    /// `installed`, `refused` or `failed`.
    pub result: Outcome,
    /// Exit code of the process.
    pub exit: u8,
    /// Stable code of the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was wrong, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// After a reset that failed: whether the installed system starts all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boots: Option<bool>,
    /// What the machine does now.
    pub next: Next,
    /// Seconds from start to end.
    pub seconds: f64,
}

/// The three ends of an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The disk boots the new system.
    Installed,
    /// Nothing was written.
    Refused,
    /// The disk was changed and does not boot; after a reset, [`Finished::boots`] says whether it does.
    Failed,
}

impl Outcome {
    /// The exit code that says the same.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Installed => Exit::Done,
            Self::Refused => Exit::Refused,
            Self::Failed => Exit::Failed,
        }
    }
}

impl Finished {
    /// A good end.
    pub fn installed(next: Next, took: Duration) -> Self {
        Self {
            result: Outcome::Installed,
            exit: Exit::Done as u8,
            code: None,
            reason: None,
            action: None,
            boots: None,
            next,
            seconds: took.as_secs_f64(),
        }
    }

    /// An end with trouble; the machine waits so that somebody can read the screen.
    pub fn trouble(outcome: Outcome, trouble: &Trouble, took: Duration) -> Self {
        Self {
            result: outcome,
            exit: outcome.exit() as u8,
            code: Some(trouble.code.to_string()),
            reason: Some(trouble.reason.clone()),
            action: Some(trouble.code.action().to_owned()),
            boots: None,
            next: Next::Wait,
            seconds: took.as_secs_f64(),
        }
    }
}

/// Writes events as JSON lines to everyone who asked.
///
/// A reader that went away or does not read never fails or delays an install: its writer is dropped at the first
/// error, and a line that it does not take is lost.
#[derive(Debug, Default)]
pub struct EventWriter {
    sinks: Vec<File>,
    port: Port,
}

impl EventWriter {
    /// A writer to the descriptor `fd` (if given) and to the events port of a virtual machine (if there is one, also
    /// if its driver is loaded later).
    pub fn open(fd: Option<u32>) -> io::Result<Self> {
        let sinks = match fd {
            Some(fd) => vec![
                OpenOptions::new()
                    .append(true)
                    .open(format!("/proc/self/fd/{fd}"))?,
            ],
            None => Vec::new(),
        };
        Ok(Self {
            sinks,
            port: Port::Awaited(Vec::new()),
        })
    }

    /// Writes one line.
    pub fn write(&mut self, event: &impl Serialize) {
        let Some(line) = line(event) else { return };
        self.sinks
            .retain_mut(|sink| sink.write_all(line.as_bytes()).is_ok());
        self.port.write(Path::new(EVENTS_PORT), &line);
    }

    /// Looks again for a port that came late: for a program that has nothing more to say and goes on.
    pub fn catch_up(&mut self) {
        self.port.open(Path::new(EVENTS_PORT));
    }
}

/// The events port of a virtual machine, whose driver may be loaded after the first event.
#[derive(Debug)]
enum Port {
    /// Not seen yet; the lines for it.
    Awaited(Vec<String>),
    Open(File),
    Gone,
}

impl Default for Port {
    fn default() -> Self {
        Self::Awaited(Vec::new())
    }
}

/// Lines kept for a port that is not there yet. Real machines never have one.
const LINES_KEPT: usize = 100;

/// How long a full port is waited for, in steps of 5 ms.
const PORT_TRIES: u32 = 40;

impl Port {
    fn write(&mut self, path: &Path, line: &str) {
        self.open(path);
        match self {
            Self::Awaited(lines) if lines.len() < LINES_KEPT => lines.push(line.to_owned()),
            Self::Open(file) => {
                if send(file, line.as_bytes()).is_err() {
                    *self = Self::Gone;
                }
            }
            Self::Awaited(_) | Self::Gone => {}
        }
    }

    /// Opens a port that is there now, and sends what it missed.
    fn open(&mut self, path: &Path) {
        let Self::Awaited(lines) = self else { return };
        // Without O_NONBLOCK a write waits for ever while nobody on the host side listens.
        let options = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path);
        let Ok(mut file) = options else { return };
        let missed = std::mem::take(lines);
        let sent = missed
            .iter()
            .try_for_each(|line| send(&mut file, line.as_bytes()));
        *self = if sent.is_ok() {
            Self::Open(file)
        } else {
            Self::Gone
        };
    }
}

/// Writes to a descriptor that does not block; a line that is not taken in time is dropped.
fn send(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    for _ in 0..PORT_TRIES {
        match file.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if bytes.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The event as one line of JSON with the schema's version.
fn line(event: &impl Serialize) -> Option<String> {
    let mut value = serde_json::to_value(event).ok()?;
    value
        .as_object_mut()?
        .insert("v".to_owned(), EVENT_VERSION.into());
    Some(format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    #[test]
    fn an_event_is_one_line_with_its_version_and_name() {
        let event = Event::Step {
            index: 2,
            of: 9,
            phase: Phase::Prepare,
            text: "wipe".into(),
        };
        assert_eq!(
            line(&event).unwrap(),
            "{\"event\":\"step\",\"index\":2,\"of\":9,\"phase\":\"prepare\",\"text\":\"wipe\",\"v\":1}\n"
        );
    }

    #[test]
    fn a_refusal_says_its_code_reason_and_next_action() {
        let trouble = Trouble::new(Code::NoDisk, "this machine has no disk");
        let event = Event::Finished(Finished::trouble(
            Outcome::Refused,
            &trouble,
            Duration::from_secs(1),
        ));
        let value: serde_json::Value = serde_json::from_str(&line(&event).unwrap()).unwrap();
        assert_eq!(value["event"], "finished");
        assert_eq!(value["result"], "refused");
        assert_eq!(value["exit"], 1);
        assert_eq!(value["code"], "LF-D01");
        assert_eq!(value["next"], "wait");
    }

    #[test]
    fn a_reader_that_went_away_is_dropped_and_the_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let good = File::create(dir.path().join("events")).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = EventWriter {
            sinks: vec![full, good],
            port: Port::Gone,
        };
        writer.write(&Event::Note { text: "one".into() });
        writer.write(&Event::Note { text: "two".into() });
        let text = std::fs::read_to_string(dir.path().join("events")).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(writer.sinks.len(), 1);
    }

    #[test]
    fn a_port_that_comes_late_gets_the_lines_from_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let mut port = Port::default();
        port.write(&path, "one\n");
        File::create(&path).unwrap();
        port.write(&path, "two\n");
        port.write(&path, "three\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_port_that_comes_after_the_last_line_gets_it_when_it_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let mut port = Port::default();
        port.write(&path, "one\n");
        port.open(&path);
        File::create(&path).unwrap();
        port.open(&path);
        port.open(&path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }
}
