//! The machine's side of a hold: which disks are there, what the firmware can be told, what the consoles show.

use std::path::Path;

use host::{Host, Linux};
use userdata::Landfall;

use super::hold::{Choice, Hold, PATIENCE};
use super::{find, is_renewed};
use crate::install::{Request, user_data_of};
use crate::keys::Keys;
use crate::machine::{Firmware, read_machine};
use crate::nvram::{self, EFIVARS};
use crate::report::{Event, EventWriter};
use crate::screens::Board;
use crate::{check, medium};

/// Decides whether this machine is held; `None` if an install may begin. A machine that cannot be looked at is not held:
/// the install looks at it again and says what is wrong. What has to be waited for is told.
pub(crate) fn hold(
    request: &Request,
    host: &mut impl Host,
    tell: &mut dyn FnMut(&Event),
) -> Option<Hold> {
    let sys = Path::new("/sys");
    let machine = read_machine(sys, Path::new("/dev")).ok()?;
    let work = check::work_folder().ok()?;
    let medium = request.medium.as_deref();
    let found = find(sys, &machine.disks, medium, &work, host);
    if found.is_empty() {
        return None;
    }
    let wanted = wanted(request, host, tell);
    if is_renewed(&found, wanted.nonce.as_deref()) {
        return None;
    }
    let entry = (machine.firmware == Firmware::Uefi)
        .then(|| {
            let disks: Vec<_> = found.iter().filter_map(|one| one.esp).collect();
            nvram::entry_for(&nvram::read(Path::new(EFIVARS)).ok()?, &disks)
        })
        .flatten();
    Some(Hold::new(found, entry, wanted.mode))
}

/// What the user-data say of another install. They may have to come over a network that is not there.
fn wanted(request: &Request, host: &mut impl Host, tell: &mut dyn FnMut(&Event)) -> Landfall {
    tell(&Event::Note {
        text: "a system is installed; looking for a new landfall.nonce in the user-data".into(),
    });
    // User-data with errors bring nothing new; an install that somebody asks for names the errors.
    let user_data = user_data_of(request, host, tell);
    user_data
        .map(|user_data| user_data.landfall)
        .unwrap_or_default()
}

/// Shows the hold on every console until it ends. Before a restart, the firmware is told to start the installed system.
pub(crate) fn wait(mut hold: Hold, drive: Option<&Path>, events: &mut EventWriter) -> Choice {
    // A drive lets a mounted medium go only by force.
    drop(Linux.unmount(Path::new(medium::MOUNT_POINT)));
    events.write(&Event::Finished(hold.finished()));
    let mut board = Board::open();
    board.say(&hold.headlines());
    let mut gone = || drive.is_some_and(|drive| !medium::is_there(drive));
    let choice = hold.follow(
        &mut Keys::of_consoles(),
        PATIENCE,
        &mut gone,
        &mut |hold, left| {
            board.show(&hold.screen(left), hold.lines());
            events.catch_up();
        },
    );
    if choice == Choice::Restart
        && let Some(entry) = hold.entry
        && let Err(error) = nvram::set_next(Path::new(EFIVARS), entry)
    {
        events.write(&Event::Note {
            text: format!("the firmware was not told what to start: {error:#}"),
        });
    }
    choice
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use host::Recorder;

    use super::*;
    use crate::documents::{Network, Sources};
    use crate::hooks::Runner;

    fn request(user_data: PathBuf) -> Request {
        Request {
            disk: "auto".into(),
            user_data: Sources {
                network: Network {
                    authorities: None,
                    set_up: true,
                },
                ..Sources::files([user_data])
            },
            payload: PathBuf::new(),
            medium: None,
            media_id: None,
            runner: Runner::LiveInstaller,
            wipe: None,
            mode: None,
        }
    }

    #[test]
    fn what_is_looked_for_is_told_before_it_is_waited_for_and_what_does_not_come_is_no_nonce() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("user-data");
        let nonce = "#cloud-config\nlandfall: {nonce: b}\n";
        let unreachable = "#cloud-config\nconfig_url: https://a.example/\nlandfall: {nonce: b}\n";
        for (text, expected) in [(nonce, Some("b")), (unreachable, None)] {
            host::files::write_synced(&file, text.as_bytes(), 0o600).unwrap();
            let mut told = Vec::new();
            // The network cannot even be started.
            let mut host = Recorder::failing_at(0);
            let wanted = wanted(&request(file.clone()), &mut host, &mut |event| {
                told.push(event.clone());
            });
            assert_eq!(wanted.nonce.as_deref(), expected, "{text}");
            assert_eq!(
                host.calls.is_empty(),
                expected.is_some(),
                "{:?}",
                host.calls
            );
            let said = matches!(&told[0], Event::Note { text } if text.contains("landfall.nonce"));
            assert!(said, "{told:?}");
        }
    }
}
