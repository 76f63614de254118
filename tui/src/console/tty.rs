//! The backend under a [`super::Console`]: escape sequences by crossterm, sent without ever blocking.

use std::{
    fs::File,
    io::{self, Write},
    time::{Duration, Instant},
};

use ratatui::{
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::{Buffer, Cell},
    layout::{Position, Rect, Size},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::tcgetwinsize,
};

/// What a serial line has when nobody told the kernel its size.
const SERIAL_SIZE: Size = Size::new(80, 24);
/// No console is larger; what claims to be is lying, and would cost memory.
const LARGEST: Size = Size::new(500, 300);

/// Select UTF-8; no blanking; no power saving (`console_codes(4)`).
const VT_SETUP: &[u8] = b"\x1b%G\x1b[9;0]\x1b[14;0]";
/// Plain colours, no cursor, no scrolling at the last cell, an empty screen.
const SETUP: &[u8] = b"\x1b[0m\x1b[?25l\x1b[?7l\x1b[2J\x1b[H";
/// Plain colours, scrolling, the cursor.
const RESTORE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h";

/// A terminal as a file of bytes, with the picture that it shows.
#[derive(Debug)]
pub(super) struct TtyBackend {
    file: File,
    unsent: Vec<u8>,
    shown: Buffer,
    size: Size,
}

impl TtyBackend {
    pub(super) fn new(file: File) -> Self {
        let mut backend = Self {
            file,
            unsent: Vec::new(),
            shown: Buffer::default(),
            size: SERIAL_SIZE,
        };
        backend.measure();
        backend
    }

    /// Asks for the size again; the next draw sees it.
    pub(super) fn measure(&mut self) {
        let asked = tcgetwinsize(&self.file)
            .ok()
            .map(|size| Size::new(size.ws_col, size.ws_row));
        let known = asked
            .filter(|size| size.width > 0 && size.height > 0)
            .unwrap_or(SERIAL_SIZE);
        self.size = Size::new(
            known.width.min(LARGEST.width),
            known.height.min(LARGEST.height),
        );
        if self.shown.area.as_size() != self.size {
            self.shown = Buffer::empty(Rect::from(self.size));
        }
    }

    pub(super) fn prepare(&mut self, virtual_console: bool) {
        if virtual_console {
            self.unsent.extend_from_slice(VT_SETUP);
        }
        self.unsent.extend_from_slice(SETUP);
    }

    /// Queues what gives the terminal back, with the cursor below the picture.
    pub(super) fn restore(&mut self) -> io::Result<()> {
        self.unsent.extend_from_slice(RESTORE);
        write!(self.unsent, "\x1b[{};1H\r\n", self.size.height)
    }

    /// Queues the picture that should be on the screen, every cell of it.
    pub(super) fn draw_again(&mut self) -> io::Result<()> {
        let width = usize::from(self.shown.area.width.max(1));
        let cells = self.shown.content.iter().enumerate().map(|(at, cell)| {
            let place = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
            (place(at % width), place(at / width), cell)
        });
        CrosstermBackend::new(&mut self.unsent).draw(cells)
    }

    /// Bytes that the terminal has not taken yet.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends what is queued, waiting at most for `limit`. Returns whether all is sent.
    pub(super) fn send(&mut self, limit: Duration) -> io::Result<bool> {
        let end = Instant::now() + limit;
        while !self.unsent.is_empty() {
            match self.file.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.wait(left)? {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Waits until the terminal takes bytes again; `false` when it did not in time.
    fn wait(&self, limit: Duration) -> io::Result<bool> {
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.file, PollFlags::OUT)];
        match poll(&mut polled, Some(&limit)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Write for TtyBackend {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unsent.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Backend for TtyBackend {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let shown = &mut self.shown;
        let remembered = content.inspect(|(x, y, cell)| {
            if let Some(place) = shown.cell_mut((*x, *y)) {
                *place = (*cell).clone();
            }
        });
        CrosstermBackend::new(&mut self.unsent).draw(remembered)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        // Sent with every picture: a program that ran on this console in between may have shown it.
        self.unsent.write_all(b"\x1b[?25l")
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.unsent.write_all(b"\x1b[?25h")
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        // Asking the terminal would mean reading from it, and a serial line may never answer.
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        CrosstermBackend::new(&mut self.unsent).set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.shown.reset();
        CrosstermBackend::new(&mut self.unsent).clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        if clear_type == ClearType::All {
            self.shown.reset();
        }
        CrosstermBackend::new(&mut self.unsent).clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size,
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        // The console decides when to send, and for how long to wait.
        Ok(())
    }
}
