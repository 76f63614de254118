//! The machine's side of a choice: consoles, keyboards, and the install before and after it.

use std::time::Duration;

use host::Host;
use nix::unistd::sync;

use super::{Pages, Question};
use crate::code::{Code, Trouble};
use crate::install::{Request, install, question};
use crate::keys::{Key, Keys};
use crate::log::uptime;
use crate::report::{AskedDisk, Event, EventWriter, Finished, Next, Outcome};
use crate::screens::InstallView;

/// How often the screen is drawn again.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the lines to copy stay on the screen before the last countdown, in seconds.
const TIME_TO_COPY: u64 = 55;

/// Installs. Where no disk can be chosen without a person, it asks, and then installs what was chosen: a run that ends like
/// any other. Returns the end of the last run.
pub(crate) fn install_or_ask(
    mut request: Request,
    host: &mut impl Host,
    view: &mut InstallView,
    events: &mut EventWriter,
) -> Finished {
    loop {
        let finished = install(&request, host, &mut |event| {
            events.write(event);
            view.event(event);
        });
        let Some(question) = question_after(&finished, &request, host) else {
            if request.user_data.choice().is_some() {
                linger(&finished, view, &mut Keys::of_consoles());
            }
            return finished;
        };
        events.write(&asking(&question));
        // What was typed before the question was not meant for it.
        let document = ask(question, view, &mut Keys::of_consoles(), events);
        request.user_data.choose(document);
    }
}

/// The question that a refusal leads to.
fn question_after(
    finished: &Finished,
    request: &Request,
    host: &mut impl Host,
) -> Option<Question> {
    if finished.result != Outcome::Refused {
        return None;
    }
    let text = finished.code.as_deref()?;
    let code = Code::ALL.into_iter().find(|code| code.as_str() == text)?;
    let trouble = Trouble::new(code, finished.reason.clone().unwrap_or_default());
    question(request, &trouble, host)
}

/// Lets somebody choose, on any console, for as long as it takes.
fn ask(
    question: Question,
    view: &mut InstallView,
    keys: &mut Keys,
    events: &mut EventWriter,
) -> String {
    let mut pages = Pages::new(question);
    loop {
        view.choose(&pages.screen());
        events.catch_up();
        for key in keys.wait(PERIOD) {
            if let Some(document) = pages.key(key) {
                return document;
            }
        }
    }
}

/// Leaves time to copy the choice before the machine restarts or switches itself off.
fn linger(finished: &Finished, view: &mut InstallView, keys: &mut Keys) {
    let verb = match finished.next {
        Next::Reboot => "restarts",
        Next::Poweroff => "switches itself off",
        Next::Wait => return,
    };
    sync();
    for left in (1..=TIME_TO_COPY).rev() {
        view.next(format!(
            "The machine {verb} in {left} s; Enter does it now. Remove the install medium."
        ));
        if keys.wait(PERIOD).contains(&Key::Enter) {
            return;
        }
    }
}

/// The event that tells that somebody is asked.
fn asking(question: &Question) -> Event {
    let disks = question.candidates.iter().map(|candidate| AskedDisk {
        path: candidate.disk.path.clone(),
        size: candidate.disk.size,
        model: candidate.disk.model.clone(),
        serial: candidate.disk.serial.clone(),
        holds: candidate.disk.contents.as_ref().map(ToString::to_string),
        can_keep: candidate.can_keep,
        why_not: candidate.chosen_by.clone().err(),
    });
    Event::Asking {
        code: question.trouble.code.to_string(),
        reason: question.trouble.reason.clone(),
        disks: disks.collect(),
        uptime_s: uptime(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::choosing::tests::question as example;
    use crate::keys::typed_at_a_terminal;

    #[test]
    fn what_is_typed_at_a_terminal_becomes_a_document() {
        let (mut keyboard, mut keys) = typed_at_a_terminal();
        // Down to the last disk, on, up to "restart", on, the word.
        keyboard
            .write_all(b"\x1b[B\x1b[B\x1b[B\r\x1b[A\rERASE\r")
            .unwrap();
        let mut view = InstallView::new(Vec::new());
        let document = ask(example(), &mut view, &mut keys, &mut EventWriter::default());
        assert!(document.contains("serial: \"VCGX5P2N\""), "{document}");
        assert!(document.contains("reboot: true"), "{document}");
    }

    #[test]
    fn the_event_names_every_disk_and_why_some_cannot_be_chosen() {
        let Event::Asking { code, disks, .. } = asking(&example()) else {
            panic!("another event")
        };
        assert_eq!((code.as_str(), disks.len()), ("LF-D02", 4));
        let why: Vec<_> = disks.iter().map(|disk| disk.why_not.as_deref()).collect();
        let expected = [
            None,
            Some("is too small: 8.0 GiB are needed"),
            Some("holds the install medium"),
            None,
        ];
        assert_eq!(why, expected);
    }
}
