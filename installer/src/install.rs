//! `landfall plan` and `landfall install`: user-data -> config -> plan -> apply -> report.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use host::Host;
use userdata::{Mode, UserData, Variables, Wipe};
use uuid::Uuid;

use crate::apply::{Tools, apply};
use crate::check;
use crate::choose::{Limits, choose, usable};
use crate::choosing::{self, Question};
use crate::code::{self, Code, Trouble};
use crate::config::{Config, configure};
use crate::documents::{self, Account, Document, OnHost, Sources};
use crate::hooks::{Hooks, Runner};
use crate::kept;
use crate::log::Log;
use crate::machine::{self, Disk, Machine};
use crate::nvram::{self, Known};
use crate::payload::Payload;
use crate::plan::{Inputs, Plan, fits, plan};
use crate::report::{Event, Finished, Next, Outcome};

/// The stub on the EFI system partition.
pub(crate) const ESP_STUB: &str = include_str!("../../dracut-module/rootfs/etc/cos/esp-grub.cfg");

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// `auto`, a device node or an image file.
    pub disk: String,
    /// Where the user-data comes from.
    pub user_data: Sources,
    /// Folder of the payload.
    pub payload: PathBuf,
    /// Disk that holds the install medium, which is never a target.
    pub medium: Option<PathBuf>,
    /// Id of the install medium.
    pub media_id: Option<String>,
    /// Who installs; it decides whether the operator's stages around the install run.
    pub runner: Runner,
    /// What may be erased; absent: what the user-data says.
    pub wipe: Option<Wipe>,
    /// What becomes of an installation that is there, whatever the user-data says of it.
    pub mode: Option<Mode>,
}

/// Everything decided, nothing written.
#[derive(Debug)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// The payload it was made for.
    pub payload: Payload,
    /// What happens after a good end.
    pub next: Next,
    /// Where the user-data came from.
    pub account: Account,
    /// Remarks on what could not be planned.
    pub notes: Vec<String>,
}

/// From texts and facts to a plan; writes nothing. The door is asked for documents and to look at disks.
pub fn prepare<H: Host>(request: &Request, host: &mut H) -> Result<Prepared> {
    let read = read_user_data(request, host, &mut |_| ())?;
    decide(request, read, host)
}

/// The user-data of a request and where it came from.
fn read_user_data<H: Host>(
    request: &Request,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
) -> Result<(UserData, Account)> {
    let (documents, machine) = gather(request, host, tell)?;
    combine(request, &documents, &machine)
}

/// Makes one of all documents; a repair, which takes nothing from them but the disk, needs none.
fn combine(
    request: &Request,
    documents: &[Document],
    machine: &Variables,
) -> Result<(UserData, Account)> {
    let nothing = || userdata::parse("repair", b"#cloud-config\n{}\n").user_data;
    if documents.is_empty()
        && request.mode == Some(Mode::Repair)
        && let Some(user_data) = nothing()
    {
        return Ok((user_data, Account::default()));
    }
    Ok(documents::combine(documents, machine)?)
}

/// Reads the user-data from everywhere it comes, and what its variables stand for.
fn gather<H: Host>(
    request: &Request,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
) -> Result<(Vec<Document>, Variables)> {
    let machine = documents::variables(Path::new("/sys"));
    let mut reach = OnHost {
        host,
        network: &request.user_data.network,
        machine: &machine,
        tell,
        is_up: false,
    };
    let documents = documents::gather(&request.user_data, &machine, &mut reach)?;
    Ok((documents, machine))
}

fn decide<H: Host>(
    request: &Request,
    (user_data, account): (UserData, Account),
    host: &mut H,
) -> Result<Prepared> {
    let config = config_of(request, &user_data)?;
    let payload = Payload::open(&request.payload)?;
    let (disk, machine) = target(request, &config, &payload, host)?;
    let kept = match config.mode {
        Mode::Fresh => None,
        mode => Some(kept::read(&disk, mode == Mode::Repair, host)?),
    };
    let mut notes = Vec::new();
    let machine = machine.as_ref();
    let entries = machine.and_then(|machine| known_entries(machine, &disk, &mut notes));
    let media_id = media_id(request, &payload)?;
    let inputs = Inputs {
        config: &config,
        disk: &disk,
        kept: kept.as_ref(),
        payload: &payload,
        hooks: &Hooks::of(&user_data, request.runner),
        media_id: &media_id,
        esp_stub: ESP_STUB,
        firmware: machine.map(|machine| machine.firmware),
        entries: entries.as_ref(),
    };
    let plan = plan(&inputs, Uuid::new_v4)?;
    Ok(Prepared {
        plan,
        payload,
        next: config.next,
        account,
        notes,
    })
}

/// The configuration that user-data and request give.
fn config_of(request: &Request, user_data: &UserData) -> Result<Config> {
    let mut unhashable = None;
    let mut hash = |clear: &str| {
        sysroot::hash_password(clear, &mut sysroot::system_random).unwrap_or_else(|error| {
            unhashable.get_or_insert(error);
            // A locked account; it is never written, because the install is refused below.
            "!".to_owned()
        })
    };
    let mut config = configure(user_data, &request.disk, &mut hash)?;
    config.wipe = request.wipe.unwrap_or(config.wipe);
    config.mode = request.mode.unwrap_or(config.mode);
    if let Some(error) = unhashable {
        return Err(Trouble::new(
            Code::UserDataInvalid,
            format!("a password in the user-data: {error:#}"),
        )
        .into());
    }
    Ok(config)
}

/// The boot entries of the firmware; a machine starts without one of ours, so that they cannot be read is a remark.
fn known_entries(machine: &Machine, disk: &Disk, notes: &mut Vec<String>) -> Option<Known> {
    match nvram::known(machine, disk, Path::new(nvram::EFIVARS))? {
        Ok(known) => Some(known),
        Err(error) => {
            notes.push(format!(
                "the firmware's boot order stays as it is: {error:#}"
            ));
            None
        }
    }
}

/// Installs, telling every event on the way; the last one is always [`Event::Finished`], which is returned too.
pub fn install<H: Host>(
    request: &Request,
    host: &mut H,
    on_event: &mut dyn FnMut(&Event),
) -> Finished {
    let started = Instant::now();
    let log = RefCell::new(Log::new());
    let mut tell = |event: &Event| {
        log.borrow_mut().event(event);
        on_event(event);
    };
    tell(&Event::Started {
        program: "install".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: crate::log::uptime(),
    });
    if let Some(document) = request.user_data.choice() {
        tell(&Event::Chosen {
            document: document.to_owned(),
        });
    }
    let finished = match ready(request, host, &mut tell) {
        Err(error) => Finished::trouble(Outcome::Refused, &in_words(&error), started.elapsed()),
        Ok(ready) => {
            let plan = &ready.prepared.plan;
            tell(&Event::Target {
                disk: plan.disk.to_string(),
                image_id: plan.image_id.clone(),
                image_version: plan.version.clone(),
            });
            tell(&Event::Note {
                text: format!("erases {}", plan.destroys),
            });
            let notes = plan.layout.notes().iter().map(ToString::to_string);
            for text in notes.chain(ready.prepared.notes.iter().cloned()) {
                tell(&Event::Note { text });
            }
            for note in &plan.notes {
                tell(&Event::Note { text: note.clone() });
            }
            if !plan.keeps.is_empty() {
                let all: Vec<String> = plan.keeps.iter().map(ToString::to_string).collect();
                let text = format!("what stays: {}", all.join(", "));
                tell(&Event::Note { text });
            }
            match carry_out(&ready, host, &mut tell, &log) {
                Ok(()) => Finished::installed(ready.prepared.next, started.elapsed()),
                Err(error) => {
                    Finished::trouble(Outcome::Failed, &in_words(&error), started.elapsed())
                }
            }
        }
    };
    tell(&Event::Finished(finished.clone()));
    finished
}

/// A plan, and the disk held for it.
struct Ready {
    prepared: Prepared,
    disk: nix::fcntl::Flock<std::fs::File>,
    work: PathBuf,
}

fn ready<H: Host>(request: &Request, host: &mut H, tell: &mut dyn FnMut(&Event)) -> Result<Ready> {
    check::tools_present(Path::new("/"))?;
    let together = read_user_data(request, host, tell)?;
    tell(&Event::UserData(together.1.clone()));
    let prepared = decide(request, together, host)?;
    let disk = check::hold(&prepared.plan.disk)?;
    check::unchanged(&prepared.plan.disk, &disk, host)?;
    let work = check::work_folder()?;
    Ok(Ready {
        prepared,
        disk,
        work,
    })
}

fn carry_out<H: Host>(
    ready: &Ready,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
    log: &RefCell<Log>,
) -> Result<()> {
    let Ready {
        prepared: Prepared { plan, payload, .. },
        disk,
        work,
    } = ready;
    let files = || log.borrow().files(plan);
    let tools = Tools {
        host,
        payload,
        work,
        disk,
    };
    let applied = apply(plan, tools, tell, &files);
    // Only empty mount points are left; if one is not empty, it is still mounted and must not be touched.
    for name in std::fs::read_dir(work).into_iter().flatten().flatten() {
        drop(std::fs::remove_dir(name.path()));
    }
    drop(std::fs::remove_dir(work));
    applied
}

/// The user-data of a request as far as it can be read, for questions that come before the install itself.
pub(crate) fn user_data_of<H: Host>(
    request: &Request,
    host: &mut H,
    tell: &mut dyn FnMut(&Event),
) -> Result<UserData> {
    let (documents, machine) = gather(request, host, tell)?;
    Ok(documents::combine_part(&documents, &machine)?.0)
}

/// What somebody can be asked after a refusal; `None` if a choice of a disk would not help.
pub(crate) fn question<H: Host>(
    request: &Request,
    trouble: &Trouble,
    host: &mut H,
) -> Option<Question> {
    let chosen = request.user_data.choice().is_some();
    if !choosing::can_be_answered(trouble.code, chosen) {
        return None;
    }
    // An answer that led here is no part of the next question.
    let request = &Request {
        user_data: request.user_data.without_choice(),
        ..request.clone()
    };
    let config = config_of(request, &user_data_of(request, host, &mut |_| ()).ok()?).ok()?;
    let payload = Payload::open(&request.payload).ok()?;
    let mut machine = machine::read_machine(Path::new("/sys"), Path::new("/dev")).ok()?;
    machine.look_at_disks(host);
    let known = choosing::Known {
        config: &config,
        machine: &machine,
        medium: request.medium.as_deref(),
        links: &choosing::document::links(Path::new("/dev/disk/by-id")),
        fits: &|disk| suits(&config, disk, &payload),
        keeps: &|disk| kept::check(disk).is_ok(),
    };
    Question::after(trouble, known)
}

/// Whether a disk has room for what is wanted, or something that can be kept.
fn suits(config: &Config, disk: &Disk, payload: &Payload) -> Result<(), Trouble> {
    match config.mode {
        Mode::Fresh => fits(config, disk, payload),
        // The partitions that are there decide.
        Mode::KeepData | Mode::Repair => kept::check(disk),
    }
}

/// The disk: an image file or a loop device if `--disk` names one, else a disk of this machine, which comes with it.
fn target(
    request: &Request,
    config: &Config,
    payload: &Payload,
    host: &mut impl Host,
) -> Result<(Disk, Option<Machine>)> {
    let limits = Limits {
        medium: request.medium.as_deref(),
        wipe: config.wipe,
        fits: &|disk| suits(config, disk, payload),
    };
    if let Some(mut disk) = machine::image(Path::new(&request.disk))? {
        disk.look(host);
        usable(&disk, &[], &limits)?;
        return Ok((disk, None));
    }
    let mut machine: Machine = machine::read_machine(Path::new("/sys"), Path::new("/dev"))?;
    machine.look_at_disks(host);
    let disk = choose(&config.wish, &machine, &limits)?;
    Ok((disk, Some(machine)))
}

/// The medium's id; without a medium one that the payload determines.
fn media_id(request: &Request, payload: &Payload) -> Result<String> {
    if let Some(id) = &request.media_id {
        return Ok(id.clone());
    }
    let digest = payload.manifest.digest().context("hashing the manifest")?;
    Ok(digest.to_string().chars().take(32).collect())
}

/// The trouble of an error; one without a code is a program's or the system's failure.
fn in_words(error: &anyhow::Error) -> Trouble {
    match code::find(error) {
        Some(trouble) => trouble.clone(),
        None => Trouble::new(Code::ProgramFailed, format!("{error:#}")),
    }
}
