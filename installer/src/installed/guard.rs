//! The machine's side of a hold: which disks are there, what the firmware can be told, what the consoles show.

use std::path::Path;

use host::{Host, Linux};

use super::hold::{Choice, Hold, PATIENCE};
use super::{find, is_renewed};
use crate::install::{Request, user_data_of};
use crate::machine::{Firmware, read_machine};
use crate::nvram::{self, EFIVARS};
use crate::recovery::{Board, keyboards};
use crate::report::{Event, EventWriter};
use crate::{check, medium};

/// Decides whether this machine is held; `None` if an install may begin. A machine that cannot be looked at is not held:
/// the install looks at it again and says what is wrong.
pub(crate) fn hold(request: &Request, host: &mut impl Host) -> Option<Hold> {
    let sys = Path::new("/sys");
    let machine = read_machine(sys, Path::new("/dev")).ok()?;
    let work = check::work_folder().ok()?;
    let medium = request.medium.as_deref();
    let found = find(sys, &machine.disks, medium, &work, host);
    if found.is_empty() {
        return None;
    }
    // User-data with errors bring nothing new; an install that somebody asks for names the errors.
    let user_data = user_data_of(request, host).ok();
    let nonce = user_data.and_then(|user_data| user_data.landfall.nonce);
    if is_renewed(&found, nonce.as_deref()) {
        return None;
    }
    let entry = (machine.firmware == Firmware::Uefi)
        .then(|| {
            let disks: Vec<_> = found.iter().filter_map(|one| one.esp).collect();
            nvram::entry_for(&nvram::read(Path::new(EFIVARS)).ok()?, &disks)
        })
        .flatten();
    Some(Hold::new(found, entry))
}

/// Shows the hold on every console until it ends. Before a restart, the firmware is told to start the installed system.
pub(crate) fn wait(mut hold: Hold, drive: Option<&Path>, events: &mut EventWriter) -> Choice {
    // A drive lets a mounted medium go only by force.
    drop(Linux.unmount(Path::new(medium::MOUNT_POINT)));
    events.write(&Event::Finished(hold.finished()));
    let mut board = Board::open();
    board.say(&hold.headlines());
    let mut gone = || drive.is_some_and(|drive| !medium::is_there(drive));
    let choice = hold.follow(&mut keyboards(), PATIENCE, &mut gone, &mut |hold, left| {
        board.show(&hold.screen(left), hold.lines());
        events.catch_up();
    });
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
