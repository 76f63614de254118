//! What is shown instead of a second install, and what ends it: the medium is taken out, a key, or, where the firmware can
//! be told what to start next, a countdown.
//!
//! ```text
//! hold --Enter, medium gone, time over--> restart
//!   |  ^
//! R, K any other key
//!   v  |
//! sure? --Y--> install
//! ```
//!
//! Without an entry of the firmware to go to, a restart would lead back here: then there is no countdown.

use std::time::{Duration, Instant};

use tui::{InstallScreen, Outcome};
use userdata::Mode;

use super::{Again, Installed};
use crate::code::{Code, Trouble};
use crate::keys::{Key, Keys};
use crate::nvram::Number;
use crate::report::{self, Finished, Next};

/// Without a key for so long, the machine restarts into the installed system.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often the screen is drawn and the medium looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Restart into the installed system.
    Restart,
    /// Install all the same.
    Install(Again),
}

/// A machine that is held.
#[derive(Debug, Clone)]
pub struct Hold {
    found: Vec<Installed>,
    /// The firmware's entry for the installed system; the next start uses it.
    pub entry: Option<Number>,
    /// What another install does to the data; the worst where the user-data cannot be read.
    mode: Mode,
    /// Somebody asked for another install and has not said yet that they are sure.
    asked: Option<Again>,
}

impl Hold {
    /// A hold for these disks, of which there is at least one.
    pub const fn new(found: Vec<Installed>, entry: Option<Number>, mode: Mode) -> Self {
        Self {
            found,
            entry,
            mode,
            asked: None,
        }
    }

    /// What a key does.
    pub fn key(&mut self, key: Key) -> Option<Choice> {
        match (self.asked, key) {
            (Some(again), Key::Char('y' | 'Y')) => return Some(Choice::Install(again)),
            (Some(_), _) => self.asked = None,
            (None, Key::Enter) => return Some(Choice::Restart),
            (None, Key::Char('r' | 'R')) => self.asked = Some(Again::AsWritten),
            (None, Key::Char('k' | 'K')) if self.mode == Mode::Fresh => {
                self.asked = Some(Again::KeepData);
            }
            (None, _) => {}
        }
        None
    }

    /// What was found, in one sentence.
    fn reason(&self) -> String {
        let one = |found: &Installed| match &found.system {
            Some(system) => format!("{} holds an installed system ({system})", found.disk),
            None => format!("{} holds an installed system", found.disk),
        };
        let all: Vec<String> = self.found.iter().map(one).collect();
        all.join("; ")
    }

    /// What happens next; `left` before the machine restarts by itself.
    fn prompt(&self, left: Option<Duration>) -> String {
        if let Some(again) = self.asked {
            let does = match again.mode().unwrap_or(self.mode) {
                Mode::Fresh => "erases the disk that the user-data choose",
                Mode::KeepData => "writes the system anew and keeps the data",
                Mode::Repair => "writes the system anew and keeps data and user-data on the disk",
            };
            return format!("Installing again {does}. Press Y to do so, any other key to go back.");
        }
        let keys = match self.mode {
            Mode::Fresh => {
                "Press Enter to restart now, R to install again, K to do so and keep the data."
            }
            Mode::KeepData | Mode::Repair => "Press Enter to restart now, R to install again.",
        };
        match (self.entry, left) {
            (Some(_), Some(left)) => format!(
                "The installed system starts in {} s. {keys}",
                left.as_secs_f64().ceil()
            ),
            (Some(_), None) => format!("The installed system starts in a minute. {keys}"),
            (None, _) => {
                format!("Remove the install medium: the installed system starts then. {keys}")
            }
        }
    }

    /// The end of the install that did not begin.
    pub fn finished(&self) -> Finished {
        let trouble = Trouble::new(Code::InstalledAlready, self.reason());
        let next = if self.entry.is_some() {
            Next::Reboot
        } else {
            Next::Wait
        };
        Finished {
            next,
            ..Finished::trouble(report::Outcome::Refused, &trouble, Duration::ZERO)
        }
    }

    /// The screen.
    pub fn screen(&self, left: Option<Duration>) -> InstallScreen {
        InstallScreen {
            version: env!("CARGO_PKG_VERSION").into(),
            log_tail: WHY.map(str::to_owned).to_vec(),
            outcome: Some(Outcome::InstalledAlready {
                code: Code::InstalledAlready.to_string(),
                reason: self.reason(),
                action: self.prompt(left),
            }),
            ..InstallScreen::default()
        }
    }

    /// The first lines on a console that does not draw.
    pub fn headlines(&self) -> Vec<String> {
        vec![
            format!("{}: {}", Code::InstalledAlready, self.reason()),
            Outcome::DISK_UNTOUCHED.to_owned(),
        ]
    }

    /// What changes with keys, as lines: a clock would make a new one every second.
    pub fn lines(&self) -> Vec<String> {
        vec![self.prompt(None)]
    }

    /// Follows keys and medium to an end. `gone` says whether the medium was taken out.
    pub fn follow(
        &mut self,
        keys: &mut Keys,
        patience: Duration,
        gone: &mut dyn FnMut() -> bool,
        show: &mut dyn FnMut(&Self, Option<Duration>),
    ) -> Choice {
        let mut until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if gone() || (self.entry.is_some() && left.is_zero()) {
                return Choice::Restart;
            }
            show(self, self.entry.map(|_| left));
            let pause = self.entry.map_or(PERIOD, |_| PERIOD.min(left));
            for key in keys.wait(pause) {
                until = Instant::now() + patience;
                if let Some(choice) = self.key(key) {
                    return choice;
                }
            }
        }
    }
}

/// Each fits a line of the smallest console.
const WHY: [&str; 2] = [
    "The machine started from an install medium or the network once more.",
    "A new landfall.nonce in the user-data installs again without a question.",
];

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::keys::typed_at_a_terminal;

    fn hold(entry: Option<Number>) -> Hold {
        hold_before(entry, Mode::Fresh)
    }

    fn hold_before(entry: Option<Number>, mode: Mode) -> Hold {
        let disk = crate::machine::Disk {
            name: "vda".into(),
            path: "/dev/vda".into(),
            size: 16 << 30,
            sector: 512,
            physical_sector: 512,
            model: String::new(),
            serial: "LF0001".into(),
            wwn: String::new(),
            transport: crate::machine::Transport::Virtio,
            removable: false,
            read_only: false,
            in_use: Vec::new(),
            contents: None,
        };
        let found = Installed {
            disk,
            esp: None,
            system: Some("1.2.3".to_owned()),
            nonce: String::new(),
        };
        Hold::new(vec![found], entry, mode)
    }

    const NEVER: Duration = Duration::from_mins(10);

    fn end(hold: &mut Hold, patience: Duration, gone: bool) -> Choice {
        hold.follow(&mut Keys::open([]), patience, &mut || gone, &mut |_, _| ())
    }

    #[test]
    fn a_second_install_needs_two_keys_and_every_other_key_goes_back() {
        let mut hold = hold(None);
        assert_eq!(hold.key(Key::Char('y')), None);
        assert_eq!(hold.key(Key::Char('r')), None);
        assert_eq!(hold.key(Key::Enter), None, "Enter is not yes");
        assert_eq!(hold.key(Key::Char('Y')), None, "it went back");
        assert_eq!(hold.key(Key::Char('R')), None);
        let again = Some(Choice::Install(Again::AsWritten));
        assert_eq!(hold.key(Key::Char('y')), again);
        assert_eq!(self::hold(None).key(Key::Enter), Some(Choice::Restart));
    }

    #[test]
    fn the_data_can_be_kept_by_a_key_of_its_own_where_the_user_data_do_not_say_so_already() {
        let mut hold = hold(None);
        assert_eq!(hold.key(Key::Char('k')), None);
        let keep = Some(Choice::Install(Again::KeepData));
        assert_eq!(hold.key(Key::Char('Y')), keep);
        let mut hold = hold_before(None, Mode::Repair);
        assert_eq!(hold.key(Key::Char('k')), None);
        assert_eq!(hold.key(Key::Char('y')), None);
    }

    #[test]
    fn it_restarts_by_itself_only_where_the_firmware_knows_what_to_start() {
        let soon = Duration::from_millis(20);
        assert_eq!(
            end(&mut hold(Some(Number(3))), soon, false),
            Choice::Restart
        );
        // Without an entry, the same time passes, and only the medium ends it.
        let mut looks = 0;
        let choice = hold(None).follow(
            &mut Keys::open([]),
            Duration::ZERO,
            &mut || {
                looks += 1;
                looks > 1
            },
            &mut |_, left| assert_eq!(left, None),
        );
        assert_eq!((choice, looks), (Choice::Restart, 2));
    }

    #[test]
    fn a_medium_that_is_taken_out_ends_it_at_once() {
        assert_eq!(end(&mut hold(None), NEVER, true), Choice::Restart);
        assert_eq!(
            end(&mut hold(Some(Number(3))), NEVER, true),
            Choice::Restart
        );
    }

    #[test]
    fn what_is_typed_at_a_terminal_becomes_a_choice() {
        let (mut keyboard, mut keys) = typed_at_a_terminal();
        keyboard.write_all(b"rY").unwrap();
        let choice = hold(None).follow(&mut keys, NEVER, &mut || false, &mut |_, _| ());
        assert_eq!(choice, Choice::Install(Again::AsWritten));
    }

    #[test]
    fn the_words_say_what_was_found_and_what_can_be_done() {
        let mut held = hold(Some(Number(3)));
        let mut text = held.headlines();
        text.extend(held.lines());
        text.push(held.prompt(Some(Duration::from_millis(41_500))));
        text.extend(hold(None).lines());
        held.key(Key::Char('r'));
        text.extend(held.lines());
        held.key(Key::Escape);
        held.key(Key::Char('k'));
        text.extend(held.lines());
        for mode in [Mode::KeepData, Mode::Repair] {
            let mut held = hold_before(None, mode);
            held.key(Key::Char('r'));
            text.extend(held.lines());
        }
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn the_end_tells_that_nothing_was_written_and_whether_the_machine_restarts() {
        let end = hold(Some(Number(3))).finished();
        assert_eq!((end.exit, end.next), (1, Next::Reboot));
        assert_eq!(hold(None).finished().next, Next::Wait);
    }
}
