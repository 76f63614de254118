//! Keys from every console of the machine: the keyboard at the display, a terminal at the serial port.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    ControlFlags, FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcflush,
    tcgetattr, tcsetattr,
};

use crate::screens::console_paths;

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    /// Enter.
    Enter,
    /// Backspace or Delete-left.
    Backspace,
    /// Escape, alone.
    Escape,
    /// The cursor key upwards.
    Up,
    /// The cursor key downwards.
    Down,
}

/// Turns bytes of one terminal into keys. Cursor and function keys, which arrive as sequences with digits in them
/// (`ESC [ 3 ~`), must never be taken for Escape or for the digits of a menu.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    #[default]
    Plain,
    /// After ESC: the key itself, or the begin of a sequence.
    Escaped,
    /// After `ESC [`.
    Bracket,
    /// In a sequence with parameters, until a letter or `~`; no key here has any.
    Sequence,
    /// After `ESC O`: one more byte.
    Function,
}

impl Decoder {
    fn byte(&mut self, byte: u8) -> impl Iterator<Item = Key> + use<> {
        let escape =
            (*self == Self::Escaped && !matches!(byte, b'[' | b'O')).then_some(Key::Escape);
        let (next, key) = match (*self, byte) {
            (_, 0x1b) => (Self::Escaped, None),
            (Self::Escaped, b'[') => (Self::Bracket, None),
            (Self::Escaped, b'O') => (Self::Function, None),
            // `ESC [ A` and, from a keypad in application mode, `ESC O A`; `ESC [ [ A` is F1 of a Linux console.
            (Self::Bracket | Self::Function, b'A') => (Self::Plain, Some(Key::Up)),
            (Self::Bracket | Self::Function, b'B') => (Self::Plain, Some(Key::Down)),
            (Self::Bracket | Self::Sequence, b' '..=b'?' | b'[') => (Self::Sequence, None),
            (Self::Bracket | Self::Sequence | Self::Function, _) => (Self::Plain, None),
            (_, b'\r' | b'\n') => (Self::Plain, Some(Key::Enter)),
            (_, 0x08 | 0x7f) => (Self::Plain, Some(Key::Backspace)),
            (_, b' '..=b'~') => (Self::Plain, Some(Key::Char(char::from(byte)))),
            _ => (Self::Plain, None),
        };
        *self = next;
        escape.into_iter().chain(key)
    }
}

/// After so long without another byte, ESC was the key and not the begin of a sequence; at 9600 bit/s a byte takes one
/// millisecond, and a network between the terminal and the serial port may hold one back.
const ESCAPE_ALONE: Duration = Duration::from_millis(150);

/// A terminal that gives every key at once and shows none; dropping it gives back how it was.
#[derive(Debug)]
struct Tty {
    file: File,
    before: Termios,
    decoder: Decoder,
    /// When the last byte came.
    heard: Instant,
}

impl Tty {
    fn open(path: &Path) -> io::Result<Self> {
        // Neither a controlling terminal, whose hang-up would end this program, nor a wait for a carrier.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)?;
        let before = tcgetattr(&file)?;
        let mut raw = before.clone();
        raw.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.control_flags
            .insert(ControlFlags::CREAD | ControlFlags::CLOCAL);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let tty = Self {
            file,
            before,
            decoder: Decoder::default(),
            heard: Instant::now(),
        };
        tcsetattr(&tty.file, SetArg::TCSANOW, &raw)?;
        // What was typed at an earlier screen was not meant for this one.
        tcflush(&tty.file, FlushArg::TCIFLUSH)?;
        Ok(tty)
    }

    /// All keys that are there. An error means that the terminal is gone.
    fn read(&mut self) -> io::Result<Vec<Key>> {
        let mut keys = Vec::new();
        let mut bytes = [0; 64];
        loop {
            match self.file.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let decoder = &mut self.decoder;
                    keys.extend(bytes[..count].iter().flat_map(|byte| decoder.byte(*byte)));
                    self.heard = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.undecided() == Some(Duration::ZERO) {
                        self.decoder = Decoder::Plain;
                        keys.push(Key::Escape);
                    }
                    return Ok(keys);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How long it is still open whether ESC was a key; `None` if there is none.
    fn undecided(&self) -> Option<Duration> {
        (self.decoder == Decoder::Escaped)
            .then(|| ESCAPE_ALONE.saturating_sub(self.heard.elapsed()))
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // Nobody is left to tell, and a terminal that is gone needs nothing back.
        tcsetattr(&self.file, SetArg::TCSANOW, &self.before).ok();
    }
}

/// The keyboards of all consoles that can be read.
#[derive(Debug)]
pub struct Keys {
    ttys: Vec<Tty>,
}

impl Keys {
    /// The keyboards of all consoles.
    pub(crate) fn of_consoles() -> Self {
        let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
        let paths = console_paths(&active);
        Self::open(paths.iter().map(std::path::PathBuf::as_path))
    }

    /// Opens them; a console that cannot be read only shows.
    pub fn open<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self {
            ttys: paths
                .into_iter()
                .filter_map(|path| Tty::open(path).ok())
                .collect(),
        }
    }

    /// The keys that come within `limit`; returns as soon as there are some.
    pub fn wait(&mut self, limit: Duration) -> Vec<Key> {
        let end = Instant::now() + limit;
        loop {
            let mut keys = Vec::new();
            self.ttys.retain_mut(|tty| {
                let read = tty.read();
                let alive = read.is_ok();
                keys.extend(read.unwrap_or_default());
                alive
            });
            let left = end.saturating_duration_since(Instant::now());
            if !keys.is_empty() || left.is_zero() {
                return keys;
            }
            if self.ttys.is_empty() {
                std::thread::sleep(left);
                continue;
            }
            let mut polled: Vec<PollFd<'_>> = self
                .ttys
                .iter()
                .map(|tty| PollFd::new(tty.file.as_fd(), PollFlags::POLLIN))
                .collect();
            let undecided = self.ttys.iter().filter_map(Tty::undecided).min();
            // A poll counts in whole milliseconds, rounded down.
            let wait = undecided.map_or(left, |open| left.min(open + Duration::from_millis(1)));
            let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
            // An interrupted wait is looked at again above, like one that ended.
            poll(&mut polled, timeout).ok();
        }
    }
}

/// A terminal for tests: what is written to the file is typed at it.
#[cfg(test)]
pub(crate) fn typed_at_a_terminal() -> (File, Keys) {
    use std::os::fd::AsRawFd;

    let pty = nix::pty::openpty(None, None).unwrap();
    let path = format!("/proc/self/fd/{}", pty.slave.as_raw_fd());
    let keys = Keys::open([Path::new(&path)]);
    (File::from(pty.master), keys)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use nix::pty::openpty;

    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().flat_map(|byte| decoder.byte(*byte)).collect()
    }

    #[test]
    fn letters_enter_and_backspace_are_keys() {
        assert_eq!(
            decoded(b"1R\x7f\r"),
            [Key::Char('1'), Key::Char('R'), Key::Backspace, Key::Enter]
        );
    }

    #[test]
    fn no_digit_of_a_cursor_or_function_key_is_taken_for_a_choice() {
        // Home, Insert, Delete, F1 of a Linux console, F1 of an xterm, F5, Shift-Up, Right.
        for sequence in [
            "\x1b[1~",
            "\x1b[2~",
            "\x1b[3~",
            "\x1b[[A",
            "\x1bOP",
            "\x1b[15~",
            "\x1b[1;2A",
            "\x1b[C",
        ] {
            assert_eq!(decoded(sequence.as_bytes()), [], "{sequence:?}");
        }
        assert_eq!(decoded(b"\x1b[3~3"), [Key::Char('3')]);
    }

    #[test]
    fn cursor_keys_are_told_from_escape() {
        assert_eq!(
            decoded(b"\x1b[A\x1b[B\x1bOA\x1bOB"),
            [Key::Up, Key::Down, Key::Up, Key::Down]
        );
        // Escape twice, and Escape before another key: the second byte decides.
        assert_eq!(decoded(b"\x1b\x1b[B"), [Key::Escape, Key::Down]);
        assert_eq!(decoded(b"\x1b1"), [Key::Escape, Key::Char('1')]);
    }

    #[test]
    fn escape_alone_is_a_key_and_a_sequence_in_two_pieces_is_not() {
        let (mut keyboard, mut keys) = typed_at_a_terminal();
        keyboard.write_all(b"\x1b").unwrap();
        assert_eq!(keys.wait(Duration::from_secs(10)), [Key::Escape]);
        keyboard.write_all(b"\x1b[").unwrap();
        assert_eq!(keys.wait(ESCAPE_ALONE * 2), []);
        keyboard.write_all(b"B").unwrap();
        assert_eq!(keys.wait(Duration::from_secs(10)), [Key::Down]);
    }

    #[test]
    fn keys_come_at_once_from_a_terminal_and_it_is_given_back_as_it_was() {
        let pty = openpty(None, None).unwrap();
        let path = format!("/proc/self/fd/{}", pty.slave.as_raw_fd());
        let before = tcgetattr(&pty.slave).unwrap();
        let mut keyboard = File::from(pty.master);
        {
            let mut keys = Keys::open([Path::new(&path)]);
            let during = tcgetattr(&pty.slave).unwrap();
            assert!(!during.local_flags.contains(LocalFlags::ICANON));
            keyboard.write_all(b"2").unwrap();
            assert_eq!(keys.wait(Duration::from_secs(10)), [Key::Char('2')]);
            assert_eq!(keys.wait(Duration::from_millis(10)), []);
        }
        let after = tcgetattr(&pty.slave).unwrap();
        assert_eq!(after.local_flags, before.local_flags);
    }

    #[test]
    fn without_a_keyboard_the_wait_ends_all_the_same() {
        let mut keys = Keys::open([Path::new("/no/such/tty")]);
        assert_eq!(keys.wait(Duration::from_millis(20)), []);
    }
}
