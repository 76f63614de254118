//! The commands.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use installer::documents::{Printed, Sources};
use installer::hooks::Runner;
use installer::install::{Request, install, prepare};
use installer::media::{self, IsoOptions, PayloadOptions, build_iso, build_payload};
use installer::report::{Event, EventWriter, Exit};
use installer::{identity, live, register, site_network};

use crate::validate;

/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Installs and runs immutable edge hosts for Spectro Cloud Palette.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks user-data and says what is wrong, where, and what to write instead
    Validate(ValidateArgs),
    /// Prints a JSON Schema of user-data, for editors
    Schema,
    /// Prints a file to start from
    #[command(subcommand)]
    New(NewCommand),
    /// Prints what `install` would do to a disk
    Plan(PlanArgs),
    /// Installs a disk or an image file
    Install(InstallArgs),
    /// Prints the edge host ID of this machine
    Id,
    /// Shows the registration screen and pairs with Palette
    Register {
        /// One attempt, without a screen
        #[arg(long)]
        once: bool,
    },
    /// Assembles the root file system and runs the stage `initramfs` in it (called in the initramfs)
    #[command(hide = true)]
    Sysroot,
    /// Runs a stage of the user-data (called by the units)
    #[command(hide = true)]
    Stage {
        /// Name of the stage: `initramfs`, `boot`, `network`, ...
        name: String,
        /// Root of the system it runs in
        #[arg(long, default_value = "/")]
        root: PathBuf,
    },
    /// Makes install media
    #[command(subcommand)]
    Media(MediaCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Adds the rules of a way of use
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// How findings are printed
    #[arg(long, default_value = "text")]
    pub(crate) format: Format,
    /// Files to check, each alone and all of them merged; the later wins
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum NewCommand {
    /// User-data with comments, which validates
    UserData {
        /// Way of use
        #[arg(long, default_value = "eks-hybrid")]
        profile: Profile,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// Amazon EKS Hybrid Nodes
    EksHybrid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wipe {
    /// Nothing: only a blank disk is taken
    Never,
    /// What an installation of Landfall or Kairos left
    Ours,
    /// Anything
    Foreign,
}

impl From<Wipe> for userdata::Wipe {
    fn from(wipe: Wipe) -> Self {
        match wipe {
            Wipe::Never => Self::Never,
            Wipe::Ours => Self::Ours,
            Wipe::Foreign => Self::Foreign,
        }
    }
}

/// What becomes of an installation that is on the disk.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Nothing is kept
    Fresh,
    /// The persistent and the extra partitions are kept
    KeepData,
    /// The OEM partition is kept too; needs no user-data
    Repair,
}

impl From<Mode> for userdata::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Fresh => Self::Fresh,
            Mode::KeepData => Self::KeepData,
            Mode::Repair => Self::Repair,
        }
    }
}

#[derive(Debug, Args)]
struct Target {
    /// Block device, image file, or `auto`
    #[arg(long)]
    disk: String,
    /// What may be erased, instead of what the user-data says
    #[arg(long)]
    wipe: Option<Wipe>,
    /// User-data document; may be given several times, the later wins
    #[arg(long = "user-data")]
    user_data: Vec<PathBuf>,
    /// Folder of the payload
    #[arg(long, default_value = "build/payload")]
    payload: PathBuf,
    /// What is kept of an installation, instead of what the user-data says
    #[arg(long)]
    mode: Option<Mode>,
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(flatten)]
    target: Target,
    /// How the plan is printed
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// Block device, image file, or `auto`
    #[arg(long, required_unless_present = "medium")]
    disk: Option<String>,
    /// What may be erased, instead of what the user-data says
    #[arg(long)]
    wipe: Option<Wipe>,
    /// User-data document; may be given several times, the later wins
    #[arg(long = "user-data")]
    user_data: Vec<PathBuf>,
    /// Folder of the payload
    #[arg(long, default_value = "build/payload")]
    payload: PathBuf,
    /// What is kept of an installation, instead of what the user-data says
    #[arg(long)]
    mode: Option<Mode>,
    /// Descriptor that gets events as JSON lines
    #[arg(long)]
    events: Option<u32>,
    /// Installs from the medium the machine was started from, and restarts it (called in the initramfs)
    #[arg(long, hide = true, conflicts_with_all = ["disk", "user_data", "mode"])]
    medium: bool,
}

#[derive(Debug, Subcommand)]
enum MediaCommand {
    /// Makes the payload from the root of a provider image
    Payload {
        /// Unpacked root of the provider image
        #[arg(long)]
        root: PathBuf,
        /// Folder to fill
        #[arg(long)]
        out: PathBuf,
        /// Version of the image, for people
        #[arg(long, default_value = VERSION)]
        image_version: String,
    },
    /// Makes an ISO that boots from CD and USB, by BIOS and UEFI
    Iso {
        /// Folder of the payload
        #[arg(long, default_value = "build/payload")]
        payload: PathBuf,
        /// User-data document
        #[arg(long)]
        user_data: PathBuf,
        /// The user-data is only a part; a `cidata` volume or `config_url` brings the rest
        #[arg(long)]
        partial: bool,
        /// Certificate (PEM) that the installer trusts when it fetches user-data; may be given several times
        #[arg(long = "ca")]
        authorities: Vec<PathBuf>,
        /// The ISO; its SHA-256 is written beside it
        #[arg(long)]
        out: PathBuf,
    },
}

/// Runs the command of this process and says how it ended.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes; clap knows which is which.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            drop(error.print());
            return ExitCode::from(exit as u8);
        }
    };
    match command(cli.command) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            say(&mut io::stderr(), &format!("error: {error:#}"));
            ExitCode::from(Exit::Refused as u8)
        }
    }
}

fn command(command: Command) -> Result<Exit> {
    match command {
        Command::Validate(args) => validate::validate(&args),
        Command::Schema => {
            say(
                &mut io::stdout(),
                &serde_json::to_string_pretty(&userdata::json_schema())?,
            );
            Ok(Exit::Done)
        }
        Command::New(NewCommand::UserData {
            profile: Profile::EksHybrid,
        }) => {
            say(
                &mut io::stdout(),
                &userdata::starting_document(userdata::Profile::EksHybrid),
            );
            Ok(Exit::Done)
        }
        Command::Plan(args) => show_plan(args),
        Command::Install(args) => run_install(args),
        Command::Id => {
            let user_data = register::read_user_data(&Path::new("/oem").join(register::USER_DATA));
            let site = user_data.as_ref().ok().map(|data| &data.stylus.site);
            say(
                &mut io::stdout(),
                &identity::edge_host_id(Path::new("/"), site)?,
            );
            Ok(Exit::Done)
        }
        Command::Register { once: true } => {
            say(&mut io::stdout(), register::once()?.as_str());
            Ok(Exit::Done)
        }
        Command::Register { once: false } => register::run().map(|()| Exit::Done),
        Command::Sysroot => {
            assemble_root(Path::new("/sysroot"))?;
            Ok(Exit::Done)
        }
        Command::Stage { name, root } => {
            run_stage(&name, &root);
            Ok(Exit::Done)
        }
        Command::Media(command) => make_media(command),
    }
}

fn request(
    disk: String,
    user_data: Vec<PathBuf>,
    payload: &Path,
    wipe: Option<Wipe>,
    mode: Option<Mode>,
) -> Result<Request> {
    let payload = std::path::absolute(payload).context("resolving the payload folder")?;
    Ok(Request {
        disk,
        user_data: Sources::files(user_data),
        payload,
        medium: None,
        media_id: None,
        runner: Runner::Host,
        wipe: wipe.map(Into::into),
        mode: mode.map(Into::into),
    })
}

fn show_plan(args: PlanArgs) -> Result<Exit> {
    let target = args.target;
    let Target {
        disk,
        user_data,
        payload,
        wipe,
        mode,
    } = target;
    let request = request(disk, user_data, &payload, wipe, mode)?;
    let prepared = prepare(&request, &mut host::Linux)?;
    let printed = Printed {
        plan: &prepared.plan,
        user_data: &prepared.account,
    };
    let text = match args.format {
        Format::Text => printed.to_string(),
        Format::Json => serde_json::to_string_pretty(&printed)?,
    };
    say(&mut io::stdout(), &text);
    Ok(Exit::Done)
}

fn run_install(args: InstallArgs) -> Result<Exit> {
    let mut events = EventWriter::open(args.events).context("opening the events descriptor")?;
    let Some(disk) = args.disk else {
        // A process that owns the machine comes back only with an error.
        return live::run(events).map(|never| match never {});
    };
    let request = request(disk, args.user_data, &args.payload, args.wipe, args.mode)?;
    let mut lines = installer::screens::Lines::new();
    let finished = install(&request, &mut host::Linux, &mut |event: &Event| {
        events.write(event);
        for line in lines.event(event) {
            say(&mut io::stderr(), &line);
        }
    });
    Ok(finished.result.exit())
}

fn make_media(command: MediaCommand) -> Result<Exit> {
    match command {
        MediaCommand::Payload {
            root,
            out,
            image_version,
        } => {
            let options = PayloadOptions {
                root,
                out,
                version: image_version,
                build: format!("landfall {VERSION}"),
                epoch: epoch(),
                level: image::payload::DEFAULT_LEVEL,
            };
            let manifest = build_payload(&options, &mut host::Linux, &mut told)?;
            say(&mut io::stdout(), &format!("image {}", manifest.image_id));
        }
        MediaCommand::Iso {
            payload,
            user_data,
            partial,
            authorities,
            out,
        } => {
            let options = IsoOptions {
                payload,
                user_data,
                partial,
                authorities,
                out,
                version: VERSION.to_owned(),
                epoch: epoch(),
            };
            let iso = build_iso(&options, &mut host::Linux, &mut told)?;
            say(
                &mut io::stdout(),
                &format!("{}  {}", iso.sha256, iso.path.display()),
            );
        }
    }
    Ok(Exit::Done)
}

/// The time stamp of everything on a medium: `SOURCE_DATE_EPOCH`, else one that never changes.
fn epoch() -> u64 {
    const BEGIN_OF_2025: u64 = 1_735_689_600;
    let wanted = std::env::var("SOURCE_DATE_EPOCH").ok();
    wanted
        .and_then(|text| text.parse().ok())
        .unwrap_or(BEGIN_OF_2025)
}

/// The root, the host's name in it, and its first stage. Only a root that cannot be assembled is an error: a system
/// that runs can be repaired.
fn assemble_root(root: &Path) -> Result<()> {
    sysroot::assemble(&mut host::Linux, &sysroot::Paths::default())?;
    let user_data = register::read_user_data(&root.join("oem").join(register::USER_DATA)).ok();
    if let Some(user_data) = &user_data
        && let Err(error) = site_network::write(Path::new("/run"), user_data)
    {
        say(
            &mut io::stderr(),
            &format!("the network of the user-data is not set up: {error:#}"),
        );
    }
    sysroot::stage::await_devices(
        "initramfs",
        root,
        &sysroot::stage::default_sources(),
        &mut host::Linux,
    );
    let stage = || run_stage("initramfs", root);
    if let Err(error) = identity::name_around(root, user_data.as_ref(), stage) {
        say(
            &mut io::stderr(),
            &format!("the host keeps the name of its image: {error:#}"),
        );
    }
    Ok(())
}

fn run_stage(name: &str, root: &Path) {
    let report = sysroot::stage::run(
        name,
        root,
        &sysroot::stage::default_sources(),
        &mut host::Linux,
    );
    for failure in report.failures() {
        say(&mut io::stderr(), &failure.to_string());
    }
    if let Err(error) = sysroot::stage::record(&report, Path::new("/run/landfall/stages.json")) {
        say(&mut io::stderr(), &format!("{error:#}"));
    }
}

/// Says each step of a media build as a line.
fn told(progress: media::Progress<'_>) {
    if let media::Progress::Step(step) = progress {
        say(&mut io::stderr(), step);
    }
}

/// Prints a line; a reader that went away (`landfall plan | head`) is no error.
pub(crate) fn say(to: &mut impl Write, text: &str) {
    drop(writeln!(to, "{}", text.trim_end_matches('\n')));
}
