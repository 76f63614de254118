//! The installer as it runs in the initramfs: it finds its medium, owns the consoles, and ends with a restart.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host::{Argv, Host, Linux};
use nix::sys::reboot::{RebootMode, reboot};

use crate::choosing::asking::install_or_ask;
use crate::code::{Code, Trouble};
use crate::documents::{Network, Source, Sources};
use crate::hooks::Runner;
use crate::install::Request;
use crate::installed::Again;
use crate::installed::hold::Choice;
use crate::report::{Event, EventWriter, Finished, Next, Outcome};
use crate::screens::{InstallView, open_consoles, open_for_install};
use crate::{installed, machine, medium, nvram, recovery};

/// How long the good end stays on the screen before the machine restarts, in seconds.
const COUNTDOWN: u64 = 5;

/// How long the list of disks must stay as it is before it is believed.
const DISKS_QUIET: Duration = Duration::from_secs(3);

/// When the wait for a quiet list ends.
const DISKS_LIMIT: Duration = Duration::from_mins(1);

/// What the kernel command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    media_id: Option<&'a str>,
    /// `landfall.state`, which only the recovery entries of an installed disk give here.
    state: Option<&'a str>,
    /// `landfall.turn`, beside it.
    turn: Option<&'a str>,
    recovery: bool,
    reset: bool,
    /// How somebody chose to install again, although a system is installed.
    reinstall: Option<Again>,
}

impl<'a> Call<'a> {
    fn parse(cmdline: &'a str) -> Self {
        let words = || cmdline.split_whitespace();
        Self {
            media_id: words().find_map(|word| word.strip_prefix("landfall.media=")),
            state: words().find_map(|word| word.strip_prefix("landfall.state=")),
            turn: words()
                .find_map(|word| word.strip_prefix("landfall.turn="))
                .filter(|turn| !turn.is_empty()),
            recovery: words().any(|word| word == "landfall.recovery"),
            reset: words().any(|word| word == "kairos.reset"),
            reinstall: words().find_map(Again::parse),
        }
    }
}

/// Installs from the medium this machine was started from, or does what a recovery system does; returns only if the
/// machine cannot be restarted.
pub fn run(mut events: EventWriter) -> Result<Infallible> {
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let call = Call::parse(&cmdline);
    if call.recovery {
        let call = recovery::Call {
            media_id: call.media_id,
            state: call.state,
            turn: call.turn,
            reset: call.reset,
        };
        return recovery::run(call, events);
    }
    let mut view = InstallView::new(open_consoles(open_for_install));
    view.draw();
    // Without them the firmware's boot order stays as it is, which the install tells.
    drop(nvram::mount(&mut Linux));
    let mut request = request(&call, &cmdline, &mut Linux);
    let mut again = call.reinstall;
    if again.is_none()
        && let Ok(wanted) = &request
        && let Some(hold) = installed::guard::hold(wanted, &mut Linux, &mut |event| {
            events.write(event);
            view.event(event);
        })
    {
        drop(view);
        match installed::guard::wait(hold, wanted.medium.as_deref(), &mut events) {
            Choice::Restart => return recovery::restart(RebootMode::RB_AUTOBOOT),
            Choice::Install(how) => again = Some(how),
        }
        view = InstallView::new(open_consoles(open_for_install));
        view.draw();
        request = self::request(&call, &cmdline, &mut Linux);
    }
    if let (Ok(request), Some(again)) = (&mut request, again) {
        request.mode = again.mode();
    }
    let finished = from_medium(request, &mut view, &mut events);
    end(&finished, &mut view)
}

fn from_medium(
    request: Result<Request>,
    view: &mut InstallView,
    events: &mut EventWriter,
) -> Finished {
    let mut tell = |event: &Event| {
        events.write(event);
        view.event(event);
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            let trouble = crate::code::find(&error).cloned();
            let trouble =
                trouble.unwrap_or_else(|| Trouble::new(Code::MediumNotFound, format!("{error:#}")));
            let finished = Finished::trouble(Outcome::Refused, &trouble, Duration::ZERO);
            tell(&Event::Finished(finished.clone()));
            return finished;
        }
    };
    let finished = install_or_ask(request, &mut Linux, view, events);
    // The medium may be gone by now (a pulled stick); there is nothing left to do with it.
    drop(Linux.unmount(Path::new(medium::MOUNT_POINT)));
    finished
}

/// Where user-data may come from, the weakest first. The network is set up only if something has to be fetched.
fn sources(medium: &Path, cmdline: &str) -> Sources {
    Sources {
        list: vec![
            Source::File(medium.join("files-iso/config.yaml")),
            Source::Folder("/oem".into()),
            Source::Volumes,
            Source::CommandLine(cmdline.to_owned()),
        ],
        network: Network {
            authorities: Some(medium.join("landfall/ca")),
            set_up: true,
        },
    }
}

fn request(call: &Call<'_>, cmdline: &str, host: &mut impl Host) -> Result<Request> {
    let Some(id) = call.media_id else {
        return Err(Trouble::new(
            Code::MediumNotFound,
            "the kernel command line names no medium (landfall.media=)",
        )
        .into());
    };
    let medium = medium::find(id, host, medium::PATIENCE)?;
    settle(host)?;
    Ok(Request {
        disk: "auto".to_owned(),
        user_data: sources(&medium.root, cmdline),
        payload: medium.root.join("landfall/payload"),
        medium: Some(medium.disk),
        media_id: Some(id.to_owned()),
        runner: Runner::LiveInstaller,
        wipe: None,
        mode: None,
    })
}

/// Lets the devices of this machine show up before a disk is chosen among them.
pub(crate) fn settle(host: &mut impl Host) -> Result<()> {
    // A queue that does not empty in time says nothing about disks; the list below decides.
    drop(host.run(&Argv::new("udevadm").args(["settle", "--timeout=30"])));
    machine::wait_for_disks(
        Path::new("/sys"),
        Path::new("/dev"),
        DISKS_QUIET,
        DISKS_LIMIT,
    )
}

/// Does what comes after the end: restart, switch off, or stay with the screen drawn afresh now and then.
pub(crate) fn end(finished: &Finished, view: &mut InstallView) -> Result<Infallible> {
    let (mode, verb) = match finished.next {
        Next::Reboot => (RebootMode::RB_AUTOBOOT, "restarts"),
        Next::Poweroff => (RebootMode::RB_POWER_OFF, "switches itself off"),
        Next::Wait => loop {
            std::thread::sleep(Duration::from_secs(5));
            view.draw();
        },
    };
    for left in (1..=COUNTDOWN).rev() {
        view.next(format!("The machine {verb} in {left} s."));
        std::thread::sleep(Duration::from_secs(1));
    }
    nix::unistd::sync();
    Ok(reboot(mode)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_which_medium_and_whether_it_is_recovery() {
        let line = "a=b landfall.media=00ff landfall.recovery landfall.state=1234 landfall.turn=07 kairos.reset landfall.reinstall\n";
        assert_eq!(
            Call::parse(line),
            Call {
                media_id: Some("00ff"),
                state: Some("1234"),
                turn: Some("07"),
                recovery: true,
                reset: true,
                reinstall: Some(Again::AsWritten),
            }
        );
        let plain = Call {
            media_id: None,
            state: None,
            turn: None,
            recovery: false,
            reset: false,
            reinstall: None,
        };
        let similar = "quiet kairos.resetx xlandfall.recovery landfall.reinstall=0 landfall.turn=";
        assert_eq!(Call::parse(similar), plain);
        let keeping = Call::parse("quiet landfall.reinstall=keep-data");
        assert_eq!(keeping.reinstall, Some(Again::KeepData));
    }

    #[test]
    fn without_the_id_of_a_medium_nothing_is_looked_for() {
        let mut host = host::Recorder::default();
        let error = request(&Call::parse("quiet"), "quiet", &mut host).unwrap_err();
        let trouble = crate::code::find(&error).unwrap();
        assert_eq!(trouble.code, Code::MediumNotFound);
        assert!(host.calls.is_empty());
    }
}
