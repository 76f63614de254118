//! The consoles of this machine: pictures on a display, lines on a serial port.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tui::console::{Console, Mode, View};
use tui::{ChoiceScreen, InstallScreen, Outcome, Phase, PhaseState, Progress, Work};

use crate::choosing::document::to_copy;
use crate::report::{self, Event, Next};

/// How often a screen is drawn while only numbers change.
const PERIOD: Duration = Duration::from_millis(200);

/// The ttys behind the kernel's consoles, from `/sys/class/tty/console/active`; `tty0` stands for the first terminal.
pub fn console_paths(active: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in active.split_whitespace() {
        let name = if name == "tty0" { "tty1" } else { name };
        let path = Path::new("/dev").join(name);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Opens every console that can be opened; a machine without one does its work all the same.
pub fn open_consoles(open: impl Fn(&Path) -> std::io::Result<Console>) -> Vec<Console> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    console_paths(&active)
        .iter()
        .filter_map(|path| open(path).ok())
        .collect()
}

/// A console for an install: pictures on a display; lines on a serial port, where they become a log.
pub fn open_for_install(path: &Path) -> std::io::Result<Console> {
    let console = Console::open(path)?;
    if console.mode() == Mode::VirtualConsole {
        Ok(console)
    } else {
        Console::open_as(path, Mode::Lines)
    }
}

/// Follows the events of an install and draws them.
#[derive(Debug)]
pub struct InstallView {
    consoles: Vec<Console>,
    screen: InstallScreen,
    /// What was chosen on the screen, as user-data; shown again after a good end.
    chosen: Vec<String>,
    drawn: Option<Instant>,
}

impl InstallView {
    /// A view on the given consoles.
    pub fn new(consoles: Vec<Console>) -> Self {
        Self {
            consoles,
            screen: blank(),
            chosen: Vec::new(),
            drawn: None,
        }
    }

    /// Shows what an event says.
    pub fn event(&mut self, event: &Event) {
        if matches!(event, Event::Progress { done, total, .. } if done < total)
            && self.drawn.is_some_and(|drawn| drawn.elapsed() < PERIOD)
        {
            return;
        }
        match event {
            Event::Chosen { document } => {
                self.chosen = to_copy(document);
            }
            event => follow(&mut self.screen, event),
        }
        if matches!(self.screen.outcome, Some(Outcome::Installed { .. })) {
            self.screen.document.clone_from(&self.chosen);
        }
        self.draw();
    }

    /// Shows a choice in place of the install, on every console.
    pub fn choose(&mut self, screen: &ChoiceScreen) {
        show(&mut self.consoles, View::Choice(screen));
    }

    /// Changes the sentence about what comes next.
    pub fn next(&mut self, text: String) {
        if let Some(Outcome::Installed { next, .. }) = &mut self.screen.outcome {
            *next = text;
        }
        self.draw();
    }

    /// Draws on every console.
    pub fn draw(&mut self) {
        self.drawn = Some(Instant::now());
        show(&mut self.consoles, View::Install(&self.screen));
    }
}

/// Shows a view on every console.
pub fn show(consoles: &mut [Console], view: View<'_>) {
    let uptime = Duration::from_secs_f64(crate::log::uptime());
    for console in consoles {
        // A console that does not take the picture must not stop the work, nor keep the others from theirs.
        drop(console.show(view, uptime));
    }
}

/// Follows the events of an install and says them as lines, for a terminal that is no console.
#[derive(Debug)]
pub struct Lines {
    screen: InstallScreen,
    log: tui::PlainLog,
}

impl Lines {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self {
            screen: blank(),
            log: tui::PlainLog::new(),
        }
    }

    /// The lines that an event adds.
    pub fn event(&mut self, event: &Event) -> Vec<String> {
        follow(&mut self.screen, event);
        self.log
            .install(&self.screen, Duration::from_secs_f64(crate::log::uptime()))
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

/// The screen before the first event.
fn blank() -> InstallScreen {
    let phases = report::Phase::ALL.map(|phase| Phase {
        name: phase.name().into(),
        state: PhaseState::Pending,
    });
    InstallScreen {
        version: env!("CARGO_PKG_VERSION").into(),
        phases: phases.to_vec(),
        current: "Looking for the install medium".into(),
        ..InstallScreen::default()
    }
}

/// What is done before the first step.
const CHECKING: &str = "Checking user-data, payload and disk";

/// What is waited for, in steps of five seconds: on a serial port each is a line.
fn waiting(what: &str, left_s: u64) -> String {
    let left = tui::plain::human_time(left_s.next_multiple_of(5));
    format!("Waiting for {what}, at most {left}")
}

/// Changes the screen as the event says.
fn follow(screen: &mut InstallScreen, event: &Event) {
    match event {
        Event::Started { program, .. } => {
            *screen = blank();
            screen.work = match program.as_str() {
                "repair" => Work::Repair,
                "reset" => Work::Reset,
                _ => Work::Install,
            };
            screen.current = CHECKING.into();
        }
        Event::Step {
            index,
            of,
            phase,
            text,
        } => {
            for (shown, each) in screen.phases.iter_mut().zip(report::Phase::ALL) {
                shown.state = match (each as u8).cmp(&(*phase as u8)) {
                    std::cmp::Ordering::Less => PhaseState::Done,
                    std::cmp::Ordering::Equal => PhaseState::Active,
                    std::cmp::Ordering::Greater => PhaseState::Pending,
                };
            }
            screen.log_tail.push(format!("{index}/{of} {text}"));
            screen.current = capital(text);
            screen.progress = None;
        }
        Event::Progress {
            done,
            total,
            rate,
            left_s,
            ..
        } => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "seconds for people"
            )]
            let left_s = left_s.ceil() as u64;
            screen.progress = Some(Progress {
                done: *done,
                total: *total,
                rate: Some(*rate),
                left_s: Some(left_s),
            });
        }
        Event::Waiting { what, left_s } => screen.current = waiting(what, *left_s),
        Event::UserData(account) => {
            let text = format!("user-data from {}", account.documents());
            screen.log_tail.push(text);
            screen.current = CHECKING.into();
        }
        Event::Target { disk, .. } => screen.disk = Some(disk.clone()),
        Event::Note { text } => screen.log_tail.push(format!("note: {text}")),
        Event::Asking { .. } | Event::Chosen { .. } => {}
        Event::Finished(end) => finish(screen, end),
    }
}

fn finish(screen: &mut InstallScreen, end: &report::Finished) {
    screen.progress = None;
    let code = end.code.clone().unwrap_or_default();
    let reason = end.reason.clone().unwrap_or_default();
    let action = end.action.clone().unwrap_or_default();
    screen.outcome = Some(match end.result {
        report::Outcome::Installed => {
            for phase in &mut screen.phases {
                phase.state = PhaseState::Done;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "seconds for people"
            )]
            let seconds = end.seconds.round() as u64;
            Outcome::Installed {
                next: next_in_words(end.next).into(),
                seconds,
            }
        }
        report::Outcome::Refused => Outcome::Refused {
            code,
            reason,
            action,
        },
        report::Outcome::Failed => Outcome::Failed {
            code,
            reason,
            action,
            last_lines: screen.log_tail.clone(),
        },
    });
}

/// What the machine does next, before a countdown says it better.
const fn next_in_words(next: Next) -> &'static str {
    match next {
        Next::Reboot => "The machine restarts now.",
        Next::Poweroff => "The machine switches itself off now.",
        Next::Wait => "Remove the install medium and restart the machine.",
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// The consoles: pictures where pictures can be drawn, else lines, which are said once and again when they change.
pub(crate) struct Board {
    consoles: Vec<Console>,
    said: Vec<String>,
}

impl Board {
    pub(crate) fn open() -> Self {
        Self {
            consoles: open_consoles(open_for_install),
            said: Vec::new(),
        }
    }

    pub(crate) fn show(&mut self, screen: &InstallScreen, lines: Vec<String>) {
        let uptime = Duration::from_secs_f64(crate::log::uptime());
        for console in self
            .consoles
            .iter_mut()
            .filter(|one| one.mode() != Mode::Lines)
        {
            // A console that does not take the picture must not keep the others from theirs.
            drop(console.show(View::Install(screen), uptime));
        }
        if lines != self.said {
            self.say(&lines);
            self.said = lines;
        }
    }

    pub(crate) fn say(&mut self, lines: &[String]) {
        for console in self
            .consoles
            .iter_mut()
            .filter(|one| one.mode() == Mode::Lines)
        {
            drop(console.print(lines));
        }
    }
}

/// What a screen for choosing looks like on the smallest console, for tests.
#[cfg(test)]
pub(crate) fn drawn_choice(screen: &tui::ChoiceScreen) -> String {
    use ratatui::{Terminal, backend::TestBackend};

    let mut terminal = Terminal::new(TestBackend::new(80, 25)).unwrap();
    terminal
        .draw(|frame| tui::draw_choice(screen, frame))
        .unwrap();
    let rows = terminal.backend().to_string();
    let rows = rows.lines().map(|row| row.trim_matches('"').trim_end());
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use PhaseState::{Active, Done, Pending};

    use super::*;

    #[test]
    fn each_console_is_opened_once_and_tty0_means_the_first_terminal() {
        let paths = console_paths("tty0 ttyS0 tty1\n");
        assert_eq!(paths, [Path::new("/dev/tty1"), Path::new("/dev/ttyS0")]);
    }

    #[test]
    fn a_step_marks_what_is_done_what_is_active_and_what_is_to_come() {
        let mut view = InstallView::new(Vec::new());
        view.event(&Event::Step {
            index: 9,
            of: 20,
            phase: report::Phase::Verify,
            text: "read back".into(),
        });
        let states: Vec<PhaseState> = view.screen.phases.iter().map(|phase| phase.state).collect();
        assert_eq!(states, [Done, Done, Active, Pending, Pending]);
        assert_eq!(view.screen.current, "Read back");
    }

    #[test]
    fn what_is_waited_for_is_said_in_steps_and_the_work_goes_on_after_it() {
        let mut view = InstallView::new(Vec::new());
        let waiting = |left_s| Event::Waiting {
            what: "a network address".into(),
            left_s,
        };
        for (left_s, said) in [
            (90, "1 min 30 s"),
            (89, "1 min 30 s"),
            (41, "45 s"),
            (0, "0 s"),
        ] {
            view.event(&waiting(left_s));
            let expected = format!("Waiting for a network address, at most {said}");
            assert_eq!(view.screen.current, expected);
        }
        view.event(&Event::UserData(crate::documents::Account {
            documents: vec!["config.yaml".into(), "cidata:user-data".into()],
            decisions: Vec::new(),
        }));
        assert_eq!(view.screen.current, CHECKING);
        assert_eq!(
            view.screen.log_tail,
            ["user-data from config.yaml, then cidata:user-data"]
        );
    }

    #[test]
    fn a_failure_shows_its_code_and_the_last_lines() {
        let mut view = InstallView::new(Vec::new());
        let trouble = crate::code::Trouble::new(crate::code::Code::ChunkBad, "chunk 3 is damaged");
        let end =
            report::Finished::trouble(report::Outcome::Failed, &trouble, Duration::from_secs(3));
        view.event(&Event::Finished(end));
        let Some(Outcome::Failed { code, reason, .. }) = view.screen.outcome else {
            panic!("no failure shown")
        };
        assert_eq!(
            (code.as_str(), reason.as_str()),
            ("LF-I02", "chunk 3 is damaged")
        );
    }
}
