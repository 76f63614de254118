//! The recovery system: started from the recovery partition of an installed disk, by GRUB's entries `recovery` (somebody
//! chooses) and `statereset` (nobody is there).
//!
//! ```text
//! statereset --> reset --done--> restart
//!                  |
//!            refused, failed
//!                  v
//! recovery ---> choice --> restart | repair | reset | switch off; without a key for ten minutes: restart
//! ```

use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use host::Linux;
use nix::sys::reboot::{RebootMode, reboot};
use tui::console::View;

use crate::check;
use crate::code::{Code, Trouble, find};
use crate::keys::Keys;
use crate::machine::read_machine;
use crate::plan::reset::Depth;
use crate::report::{Event, EventWriter, Finished, Next, Outcome};
use crate::screens::{InstallView, open_consoles, open_for_install, show};
use crate::{live, medium};

pub mod menu;
pub mod reset;

use menu::{Choice, Ended, Menu};
use reset::{Request, reset};

/// Without a key for so long, the machine restarts into its default entry: it may have come here by itself.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often the screen is drawn again.
const PERIOD: Duration = Duration::from_secs(1);

/// What the kernel command line says to a recovery system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// `landfall.media`: what the recovery partition must be.
    pub media_id: Option<&'a str>,
    /// `landfall.state`: PARTUUID of the state partition of the disk whose GRUB started this.
    pub state: Option<&'a str>,
    /// `landfall.turn`: what GRUB counted up on that disk, which a copy of it does not have.
    pub turn: Option<&'a str>,
    /// `kairos.reset`: reset without asking.
    pub reset: bool,
}

/// Resets, or lets somebody choose; returns only if the machine cannot be restarted.
pub fn run(call: Call<'_>, mut events: EventWriter) -> Result<Infallible> {
    let mut ended = None;
    if call.reset {
        ended = attempt(call, Depth::Reset, &mut events)?;
    } else {
        events.write(&Event::Started {
            program: "recovery".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_s: crate::log::uptime(),
        });
    }
    loop {
        let choice = ask(ended.take(), &mut events);
        events.write(&Event::Note {
            text: format!("chosen: {choice:?}"),
        });
        match choice {
            Choice::Restart => return restart(RebootMode::RB_AUTOBOOT),
            Choice::PowerOff => return restart(RebootMode::RB_POWER_OFF),
            Choice::Again(depth) => ended = attempt(call, depth, &mut events)?,
        }
    }
}

/// One reset or repair. Comes back only with the trouble; after a good end the machine restarts.
fn attempt(call: Call<'_>, depth: Depth, events: &mut EventWriter) -> Result<Option<Ended>> {
    let mut view = InstallView::new(open_consoles(open_for_install));
    view.draw();
    let finished = match request(call, depth) {
        Ok(request) => {
            let mut tell = |event: &Event| {
                events.write(event);
                // The screen of an install would say that the disk does not boot; the menu says what is true.
                if !matches!(event, Event::Finished(end) if end.result == Outcome::Failed) {
                    view.event(event);
                }
            };
            reset(&request, &mut Linux, &mut tell)
        }
        Err(error) => {
            let trouble = find(&error).cloned();
            let trouble =
                trouble.unwrap_or_else(|| Trouble::new(Code::RecoveryDisk, format!("{error:#}")));
            let finished = Finished::trouble(Outcome::Refused, &trouble, Duration::ZERO);
            events.write(&Event::Finished(finished.clone()));
            finished
        }
    };
    if finished.next != Next::Reboot {
        return Ok(Some(Ended { depth, finished }));
    }
    live::end(&finished, &mut view).map(|never| match never {})
}

fn request(call: Call<'_>, depth: Depth) -> Result<Request> {
    let (Some(media_id), Some(state)) = (call.media_id, call.state) else {
        return Err(Trouble::new(
            Code::RecoveryDisk,
            "the kernel command line does not name disk and medium (landfall.state=, landfall.media=)",
        )
        .into());
    };
    // A twin of the disk that shows up late must be seen before one of the two is taken.
    live::settle(&mut Linux)?;
    let machine = || read_machine(Path::new("/sys"), Path::new("/dev"));
    let disks = || Ok(machine()?.disks);
    Ok(Request {
        depth,
        disk: medium::find_disk(state, call.turn, disks, medium::PATIENCE, &mut Linux)?,
        media_id: media_id.to_owned(),
        live: Path::new(medium::MOUNT_POINT).to_owned(),
        work: check::work_folder()?,
        firmware: Some(machine()?.firmware),
    })
}

/// Lets somebody choose, on any console.
fn ask(ended: Option<Ended>, events: &mut EventWriter) -> Choice {
    let mut menu = Menu::new(ended);
    let mut consoles = open_consoles(open_for_install);
    decide(
        &mut menu,
        &mut Keys::of_consoles(),
        PATIENCE,
        &mut |menu, left| {
            show(&mut consoles, View::Choice(&menu.screen(left)));
            events.catch_up();
        },
    )
}

/// Follows the keys to a choice; `patience` after the last one, the choice is to restart.
fn decide(
    menu: &mut Menu,
    keys: &mut Keys,
    patience: Duration,
    show: &mut dyn FnMut(&Menu, Duration),
) -> Choice {
    let mut until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Choice::Restart;
        }
        show(menu, left);
        for key in keys.wait(PERIOD.min(left)) {
            until = Instant::now() + patience;
            if let Some(choice) = menu.key(key) {
                return choice;
            }
        }
    }
}

pub(crate) fn restart(mode: RebootMode) -> Result<Infallible> {
    nix::unistd::sync();
    Ok(reboot(mode)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::keys::{Key, typed_at_a_terminal};

    #[test]
    fn without_a_key_the_machine_restarts_also_while_the_word_is_being_typed() {
        let mut menu = Menu::new(None);
        menu.key(Key::Char('3'));
        let mut shown = 0;
        let patience = Duration::from_millis(20);
        let choice = decide(&mut menu, &mut Keys::open([]), patience, &mut |_, left| {
            shown += 1;
            assert!(left <= patience);
        });
        assert_eq!(choice, Choice::Restart);
        assert!(shown > 0);
    }

    #[test]
    fn what_is_typed_at_a_terminal_becomes_a_choice() {
        let (mut keyboard, mut keys) = typed_at_a_terminal();
        keyboard.write_all(b"3RESET\r").unwrap();
        let patience = Duration::from_mins(1);
        let choice = decide(&mut Menu::new(None), &mut keys, patience, &mut |_, _| ());
        assert_eq!(choice, Choice::Again(Depth::Reset));
    }
}
