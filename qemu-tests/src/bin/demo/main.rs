//! `./just demo`: one machine from an empty disk to a paired edge host, while somebody watches.
//!
//! What it leaves under `build/` is in section 6 of the design.

mod account;
mod palette;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use qemu_tests::user_data::{HOST_FOR_GUESTS, UserData};
use qemu_tests::{Disk, Event, Firmware, Vm, artifacts, door};
use serde_json::json;
use uuid::Uuid;

use account::Account;
use palette::Palette;

/// Size of the demo's disk; sparse, so that it costs what is written.
const DISK_BYTES: u64 = 16 << 30;
/// The password of the user `kairos` on a machine that lives for minutes behind this host.
const PASSWORD: &str = "landfall";

const TO_INSTALLER: Duration = Duration::from_mins(4);
const TO_INSTALLED: Duration = Duration::from_mins(10);
const TO_SCREEN: Duration = Duration::from_mins(5);
const TO_QR: Duration = Duration::from_mins(1);
const TO_PAIRED: Duration = Duration::from_mins(2);
const WHOLE_LIFE: Duration = Duration::from_mins(22);

/// Installs a virtual machine from the ISO and pairs it with a simulated Palette.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// What the machine starts with
    #[arg(long, value_enum, default_value_t = FirmwareName::Uefi)]
    firmware: FirmwareName,
    /// Memory of the machine in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Leaves the paired machine and the simulated Palette running until Enter is pressed
    #[arg(long)]
    hold: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirmwareName {
    Bios,
    Uefi,
    /// UEFI with Secure Boot enforced
    SecureBoot,
}

impl From<FirmwareName> for Firmware {
    fn from(name: FirmwareName) -> Self {
        match name {
            FirmwareName::Bios => Self::Bios,
            FirmwareName::Uefi => Self::Uefi,
            FirmwareName::SecureBoot => Self::UefiSecureBoot,
        }
    }
}

/// Where everything goes.
struct Places {
    iso: PathBuf,
    folder: PathBuf,
}

impl Places {
    /// Makes `build/demo`, and removes what an earlier demo left there: a file that is there afterwards is from this run.
    fn prepare() -> Result<Self> {
        let build = artifacts::build_folder();
        let folder = build.join("demo");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for name in [
            "user-data",
            "disk.img",
            "registration.png",
            "console.log",
            "summary.json",
        ] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing the old {name}"));
                }
                _ => {}
            }
        }
        Ok(Self {
            iso: build.join("palette-edge-installer.iso"),
            folder,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut account = Account::new();
    match demo(&options, &mut account) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            account.end_line();
            // Nothing is left to do if even this cannot be said.
            drop(writeln!(io::stderr(), "demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(options: &Options, account: &mut Account) -> Result<()> {
    let places = Places::prepare()?;
    let palette = Palette::start()?;
    account.say(&format!(
        "Simulated Palette listens at https://127.0.0.1:{}/",
        palette.port()
    ));

    let user_data =
        UserData::for_guest(palette.addr(), palette.ca_pem(), palette::PROJECT, PASSWORD);
    door::write_file(&places.file("user-data"), user_data.to_string().as_bytes())?;
    artifacts::make_iso_from(&places.file("user-data"), &places.iso)?;
    account.say(&format!("ISO made: {}", places.iso.display()));

    let uuid = Uuid::new_v4();
    let disk = Disk::empty(places.file("disk.img"), DISK_BYTES)?;
    // The disk first: empty, it falls through to the CD; installed, it boots. So one machine goes the whole way.
    let mut vm = Vm::builder("demo")
        .firmware(options.firmware.into())
        .memory(options.memory)
        .uuid(uuid)
        .disk(disk)
        .cdrom(&places.iso)
        .limit(WHOLE_LIFE)
        .start()?;
    account.say("Machine switched on, starting from the ISO");
    let result = watch(&mut vm, uuid, &palette, &places, account);
    // The console is wanted most when something went wrong.
    let console = door::write_file(&places.file("console.log"), vm.serial().as_bytes());
    result.and(console)?;

    account.say(&format!("Everything is in {}", places.folder.display()));
    if options.hold {
        hold(&mut vm, &palette, account)?;
    }
    vm.quit()
}

/// Follows the machine to its pairing and writes the summary.
fn watch(
    vm: &mut Vm,
    uuid: Uuid,
    palette: &Palette,
    places: &Places,
    account: &mut Account,
) -> Result<()> {
    let edge_host_id = format!("edge-{}", uuid.simple());

    let started = follow(vm, account, "started", TO_INSTALLER, |event| {
        event.name() == "started"
    })?;
    let finished = follow(vm, account, "finished", TO_INSTALLED, |event| {
        event.name() == "finished"
    })?;
    ensure!(
        finished.text("result") == "installed",
        "the installation ended as {}: {} {}",
        finished.text("result"),
        finished.text("code"),
        finished.text("reason")
    );

    let screen = follow(vm, account, "screen", TO_SCREEN, |event| {
        event.name() == "screen"
    })?;
    let shown = screen.text("edge_host_id");
    ensure!(
        shown == edge_host_id,
        "the screen shows the ID {shown}, the machine is {edge_host_id}"
    );
    // The picture is to show what an operator acts on: the host waits to be added.
    wait_until_waiting(vm, account)?;
    let qr_text = photograph(vm, &screen, places)?;
    account.say(&format!("QR code read from the screen: {qr_text}"));
    ensure!(
        palette.record(&edge_host_id).is_none(),
        "Palette knows {edge_host_id} before it was added"
    );
    palette.add_edge_host(&edge_host_id)?;
    account.say("Edge host added in Palette, as the web page does");
    let paired = follow(vm, account, "pairing: healthy", TO_PAIRED, |event| {
        event.is("pairing", "state", "healthy")
    })?;

    let (state, health) = palette
        .record(&edge_host_id)
        .context("Palette has no record of the host")?;
    let seconds = |from: Instant, to: &Event| to.seen.duration_since(from).as_secs_f64().round();
    let summary = json!({
        "edge_host_id": edge_host_id,
        "qr_text": qr_text,
        "palette_state": state,
        "palette_health": health,
        "seconds": {
            "iso_to_installer": seconds(vm.started(), &started),
            "install": seconds(started.seen, &finished),
            "reboot_to_screen": seconds(finished.seen, &screen),
            "screen_to_paired": seconds(screen.seen, &paired),
        },
    });
    door::write_file(
        &places.file("summary.json"),
        format!("{summary:#}\n").as_bytes(),
    )?;
    if state != "ready" || health != "healthy" {
        bail!("the host says that it is paired, Palette says {state} and {health}");
    }
    account.summary(&summary);
    Ok(())
}

/// Waits for an event and tells of every one on the way. A failed installation ends the wait: nothing more will come.
fn follow(
    vm: &mut Vm,
    account: &mut Account,
    what: &str,
    limit: Duration,
    wanted: impl Fn(&Event) -> bool,
) -> Result<Event> {
    vm.wait(limit, &format!("the event {what}"), |vm| {
        while let Some(event) = vm.next_event()? {
            account.tell(&event);
            if wanted(&event) {
                return Ok(Some(event));
            }
            if event.name() == "finished" && event.text("result") != "installed" {
                bail!("{}: {}", event.text("code"), event.text("reason"));
            }
        }
        Ok(None)
    })
}

/// Waits until the host has said that it waits to be added. It may have said so before its screen was there.
fn wait_until_waiting(vm: &mut Vm, account: &mut Account) -> Result<()> {
    vm.wait(TO_PAIRED, "the event pairing: waiting", |vm| {
        while let Some(event) = vm.next_event()? {
            account.tell(&event);
        }
        Ok(vm
            .events()?
            .iter()
            .any(|event| event.is("pairing", "state", "waiting"))
            .then_some(()))
    })
}

/// Takes the picture of the registration screen and reads its QR code, which must say what the screen meant.
fn photograph(vm: &mut Vm, screen: &Event, places: &Places) -> Result<String> {
    let (text, picture) = vm.wait_qr("registration", TO_QR)?;
    fs::copy(picture, places.file("registration.png"))
        .context("copying the picture of the screen")?;
    let meant = screen.text("qr_text");
    ensure!(
        text == meant,
        "the QR code on the screen says {text}, the program meant {meant}"
    );
    Ok(text)
}

/// Lets somebody look around.
fn hold(vm: &mut Vm, palette: &Palette, account: &mut Account) -> Result<()> {
    account.say(&format!(
        "Palette: https://127.0.0.1:{}/ (for the machine: {HOST_FOR_GUESTS})",
        palette.port()
    ));
    account.say(&format!(
        "Login:   ssh -p {} kairos@127.0.0.1, password {PASSWORD}",
        vm.ssh_port()?
    ));
    account.say("Press Enter to switch the machine off");
    io::stdin()
        .lock()
        .read_line(&mut String::new())
        .context("waiting for Enter")?;
    Ok(())
}
