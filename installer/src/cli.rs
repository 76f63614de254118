//! The commands.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use installer::install::{Request, install, prepare};
use installer::report::{Event, EventWriter, Exit};
use installer::{live, media, register};

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
    /// Assembles the root file system (called in the initramfs)
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
struct ValidateArgs {
    /// Adds the rules of a way of use
    #[arg(long)]
    profile: Option<Profile>,
    /// How findings are printed
    #[arg(long, default_value = "text")]
    format: Format,
    /// Files to check
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    /// Amazon EKS Hybrid Nodes
    EksHybrid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct Target {
    /// Block device, image file, or `auto`
    #[arg(long)]
    disk: String,
    /// User-data document
    #[arg(long = "user-data")]
    user_data: Vec<PathBuf>,
    /// Folder of the payload
    #[arg(long, default_value = "build/payload")]
    payload: PathBuf,
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
    /// User-data document
    #[arg(long = "user-data")]
    user_data: Vec<PathBuf>,
    /// Folder of the payload
    #[arg(long, default_value = "build/payload")]
    payload: PathBuf,
    /// Descriptor that gets events as JSON lines
    #[arg(long)]
    events: Option<u32>,
    /// Installs from the medium the machine was started from, and restarts it (called in the initramfs)
    #[arg(long, hide = true, conflicts_with_all = ["disk", "user_data"])]
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
    },
    /// Makes an ISO that boots from CD and USB, by BIOS and UEFI
    Iso {
        /// Folder of the payload
        #[arg(long, default_value = "build/payload")]
        payload: PathBuf,
        /// User-data document
        #[arg(long)]
        user_data: PathBuf,
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
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
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
        Command::Validate(args) => validate(&args),
        Command::Plan(args) => show_plan(args),
        Command::Install(args) => run_install(args),
        Command::Id => {
            say(&mut io::stdout(), &register::edge_host_id()?);
            Ok(Exit::Done)
        }
        Command::Register { once: true } => {
            say(&mut io::stdout(), register::once()?.as_str());
            Ok(Exit::Done)
        }
        Command::Register { once: false } => register::run().map(|()| Exit::Done),
        Command::Sysroot => {
            sysroot::assemble(&mut host::Linux, &sysroot::Paths::default())?;
            Ok(Exit::Done)
        }
        Command::Stage { name, root } => {
            sysroot::stage::run_in(&name, &root)?;
            Ok(Exit::Done)
        }
        Command::Media(command) => make_media(command),
    }
}

fn validate(args: &ValidateArgs) -> Result<Exit> {
    let mut all = Vec::new();
    for path in &args.files {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let parsed = userdata::parse(&path.to_string_lossy(), &bytes);
        let mut findings = parsed.findings;
        if let (Some(Profile::EksHybrid), Some(user_data)) = (args.profile, &parsed.user_data) {
            findings.extend(userdata::check_eks(user_data));
        }
        if args.format == Format::Text {
            let text = String::from_utf8_lossy(&bytes);
            say(&mut io::stdout(), &userdata::render(&findings, &text, io::stdout().is_terminal()));
        }
        all.extend(findings);
    }
    if args.format == Format::Json {
        say(&mut io::stdout(), &serde_json::to_string_pretty(&all)?);
    }
    Ok(if userdata::has_errors(&all) { Exit::Refused } else { Exit::Done })
}

fn request(disk: String, user_data: Vec<PathBuf>, payload: &Path) -> Result<Request> {
    let payload = std::path::absolute(payload).context("resolving the payload folder")?;
    Ok(Request { disk, user_data, payload, medium: None, media_id: None })
}

fn show_plan(args: PlanArgs) -> Result<Exit> {
    let target = args.target;
    let prepared = prepare(&request(target.disk, target.user_data, &target.payload)?)?;
    let text = match args.format {
        Format::Text => prepared.plan.to_string(),
        Format::Json => serde_json::to_string_pretty(&prepared.plan)?,
    };
    say(&mut io::stdout(), &text);
    Ok(Exit::Done)
}

fn run_install(args: InstallArgs) -> Result<Exit> {
    let mut events = EventWriter::open(args.events).context("opening the events descriptor")?;
    let Some(disk) = args.disk else {
        return match live::run(events)? {};
    };
    let request = request(disk, args.user_data, &args.payload)?;
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
        MediaCommand::Payload { root, out } => media::command_payload(&root, &out)?,
        MediaCommand::Iso { payload, user_data, out } => media::command_iso(&payload, &user_data, &out)?,
    }
    Ok(Exit::Done)
}

/// Prints a line; a reader that went away (`landfall plan | head`) is no error.
fn say(to: &mut impl Write, text: &str) {
    drop(writeln!(to, "{}", text.trim_end_matches('\n')));
}
