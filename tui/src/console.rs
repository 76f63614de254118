//! A console to draw on: `/dev/tty1`, `/dev/ttyS0`, a pseudo terminal, or anything that takes lines.
//!
//! Two things happen to a console that do not happen to a terminal window. Others write on it: the kernel puts its
//! messages over the picture, so the whole picture is sent again every few seconds, without clearing, which would
//! flicker. And nobody may read it: a serial line without a listener stops taking bytes, so nothing here waits for
//! longer than a fraction of a second, and a picture that cannot be sent is skipped, not queued.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    time::{Duration, Instant},
};

use ratatui::{Frame, Terminal};
use rustix::fs::{Mode as FileMode, OFlags, major, minor};

use crate::{
    choice::{ChoiceScreen, draw_choice},
    install::{InstallScreen, draw_install},
    plain::PlainLog,
    registration::{RegistrationScreen, draw_registration},
};

mod tty;

use tty::TtyBackend;

/// The longest that one call waits for a console to take bytes.
const PATIENCE: Duration = Duration::from_millis(150);
/// Unsent bytes above which further lines are dropped, on a console that takes lines.
const BACKLOG: usize = 64 * 1024;

/// How a console is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A virtual console of the kernel (`/dev/tty1`): pictures, often sent again.
    VirtualConsole,
    /// Another terminal (serial line, pseudo terminal): pictures, seldom sent again, for a picture takes seconds at
    /// 9600 bit/s.
    Terminal,
    /// Lines of text: no terminal, a dumb one, or one that does not speak UTF-8.
    Lines,
}

impl Mode {
    /// Time after which a picture is sent again although nothing changed.
    const fn redraw_every(self) -> Duration {
        match self {
            Self::VirtualConsole => Duration::from_secs(2),
            Self::Terminal | Self::Lines => Duration::from_secs(30),
        }
    }
}

/// What to show.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// The install progress.
    Install(&'a InstallScreen),
    /// A choice.
    Choice(&'a ChoiceScreen),
    /// The registration.
    Registration(&'a RegistrationScreen),
}

/// A console that was opened for drawing. Dropping it gives the cursor back and leaves the last picture standing.
#[derive(Debug)]
pub struct Console {
    mode: Mode,
    terminal: Terminal<TtyBackend>,
    log: PlainLog,
    whole_at: Option<Instant>,
}

impl Console {
    /// Opens a console for writing and finds out how to write to it.
    ///
    /// UTF-8 is taken for granted, because an initramfs has no locale, unless `LC_ALL`, `LC_CTYPE` or `LANG` names
    /// another character set. `TERM=dumb` gives lines.
    ///
    /// # Errors
    ///
    /// The error of `open`, when there is no such device or it is not ours to write to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_device(path)?;
        let mode = detect(&file, |name| std::env::var_os(name))?;
        Self::start(file, mode)
    }

    /// Opens a console for writing in a given mode.
    ///
    /// # Errors
    ///
    /// The error of `open`.
    pub fn open_as(path: &Path, mode: Mode) -> io::Result<Self> {
        Self::start(open_device(path)?, mode)
    }

    fn start(file: File, mode: Mode) -> io::Result<Self> {
        // NO_COLOR is a wish of a person at a shell; here colour carries the QR code.
        crossterm::style::force_color_output(true);
        let mut backend = TtyBackend::new(file);
        if mode != Mode::Lines {
            backend.prepare(mode == Mode::VirtualConsole);
        }
        let terminal = Terminal::new(backend)?;
        Ok(Self {
            mode,
            terminal,
            log: PlainLog::new(),
            whole_at: None,
        })
    }

    /// How this console is written to.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Shows a view: draws it, or prints what is new in it, stamped with `uptime`, the time since the machine started.
    ///
    /// Call it about once a second also when nothing changed: that is what repairs a picture. Returns `false` when the
    /// console is still busy with the picture before.
    ///
    /// # Errors
    ///
    /// The error of `write`, when the device is gone.
    pub fn show(&mut self, view: View<'_>, uptime: Duration) -> io::Result<bool> {
        if self.mode != Mode::Lines {
            return self.draw(|frame| match view {
                View::Install(screen) => draw_install(screen, frame),
                View::Choice(screen) => draw_choice(screen, frame),
                View::Registration(screen) => draw_registration(screen, frame),
            });
        }
        let lines = match view {
            View::Install(screen) => self.log.install(screen, uptime),
            View::Choice(screen) => self.log.choice(screen),
            View::Registration(screen) => self.log.registration(screen, uptime),
        };
        self.print(&lines)
    }

    /// Prints lines as they are, whatever the mode. Returns `false` when they were not sent whole.
    ///
    /// # Errors
    ///
    /// The error of `write`, when the device is gone.
    pub fn print(&mut self, lines: &[String]) -> io::Result<bool> {
        let backend = self.terminal.backend_mut();
        for line in lines {
            if backend.unsent() < BACKLOG {
                backend.write_all(line.as_bytes())?;
                backend.write_all(b"\r\n")?;
            }
        }
        backend.send(PATIENCE)
    }

    /// Draws one picture. Returns `false`, without calling `picture`, when the console is still busy with the one
    /// before.
    ///
    /// # Errors
    ///
    /// The error of `write`, when the device is gone.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<bool> {
        if !self.terminal.backend_mut().send(PATIENCE)? {
            return Ok(false);
        }
        self.terminal.backend_mut().measure();
        self.terminal.draw(picture)?;
        let now = Instant::now();
        if self
            .whole_at
            .is_none_or(|at| now.duration_since(at) >= self.mode.redraw_every())
        {
            if self.whole_at.is_some() {
                self.terminal.backend_mut().draw_again()?;
            }
            self.whole_at = Some(now);
        }
        self.terminal.backend_mut().send(PATIENCE)
    }

    /// Waits until everything is sent, at most for `limit`; `false` when it was not enough. For the last words before
    /// a reboot.
    ///
    /// # Errors
    ///
    /// The error of `write`, when the device is gone.
    pub fn finish(&mut self, limit: Duration) -> io::Result<bool> {
        self.terminal.backend_mut().send(limit)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let restored = if self.mode == Mode::Lines {
            Ok(())
        } else {
            self.terminal.backend_mut().restore()
        };
        // A console that is gone needs no cursor, and nobody is left to tell.
        drop(restored.and_then(|()| self.terminal.backend_mut().send(PATIENCE)));
    }
}

fn open_device(path: &Path) -> io::Result<File> {
    // Not the controlling terminal: its hang-up must not end the installer. Not blocking: neither in open (a serial
    // line without a carrier) nor in write (one without a reader).
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(
        path,
        flags,
        FileMode::empty(),
    )?))
}

/// Decides the mode by what the device is and by what the environment says about it.
fn detect<T: AsRef<OsStr>>(file: &File, variable: impl Fn(&str) -> Option<T>) -> io::Result<Mode> {
    let set =
        |name: &str| variable(name).map(|value| value.as_ref().to_string_lossy().into_owned());
    let meta = file.metadata()?;
    if !meta.file_type().is_char_device() || !rustix::termios::isatty(file) {
        return Ok(Mode::Lines);
    }
    // Linux Documentation/admin-guide/devices.txt: character devices 4:0 to 4:63 are virtual consoles.
    if major(meta.rdev()) == 4 && minor(meta.rdev()) < 64 {
        return Ok(Mode::VirtualConsole);
    }
    if set("TERM").as_deref() == Some("dumb") {
        return Ok(Mode::Lines);
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| set(name).filter(|value| !value.is_empty()));
    Ok(
        if locale.is_some_and(|locale| names_another_charset(&locale)) {
            Mode::Lines
        } else {
            Mode::Terminal
        },
    )
}

/// Whether a locale such as `de_DE.ISO-8859-1@euro` names a character set, and one that is not UTF-8. `C` and `POSIX`
/// name none: they are what a service without a locale has.
fn names_another_charset(locale: &str) -> bool {
    let charset = locale
        .split_once('.')
        .map(|(_, rest)| rest.split('@').next().unwrap_or(rest));
    charset.is_some_and(|charset| {
        let letters: String = charset
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        !letters.eq_ignore_ascii_case("utf8")
    })
}

#[cfg(test)]
mod tests;
