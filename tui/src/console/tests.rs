use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
};

use nix::pty::{OpenptyResult, Winsize, openpty};
use ratatui::{
    Terminal,
    backend::TestBackend,
    widgets::{Block, Paragraph},
};

use super::*;
use crate::State;

/// A pseudo terminal: the side that the console opens, by its path, and the side where a person would look.
struct Pty {
    near: File,
    path: std::path::PathBuf,
    /// Kept open, so that the terminal lives on when a console is dropped.
    _far: OwnedFd,
}

fn pty(columns: u16, rows: u16) -> Pty {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
    let path = nix::unistd::ttyname(slave.as_fd()).unwrap();
    let flags = rustix::fs::fcntl_getfl(&master).unwrap();
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).unwrap();
    Pty {
        near: File::from(master),
        path,
        _far: slave,
    }
}

impl Pty {
    fn resize(&self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.near, size).unwrap();
    }

    fn read(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.near.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => bytes,
            other => panic!("{other:?}"),
        }
    }
}

/// Shows a view and reads along, as a terminal does.
fn show(console: &mut Console, pty: &mut Pty, seen: &mut vt100::Parser, view: View<'_>) {
    for _ in 0..100 {
        let done = console.show(view, Duration::ZERO).unwrap();
        seen.process(&pty.read());
        if done {
            return;
        }
    }
    panic!("the picture was never sent");
}

fn screen() -> RegistrationScreen {
    RegistrationScreen {
        version: "0.1.0".into(),
        edge_host_id: "edge-03163342f7f0e6fe20de095ed8548c93".into(),
        qr_text: Some(
            "https://pair.example.com/?appliance-id=edge-03163342f7f0e6fe20de095ed8548c93".into(),
        ),
        state: State::Waiting,
        ..Default::default()
    }
}

fn wanted(screen: &RegistrationScreen, columns: u16, rows: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| draw_registration(screen, frame))
        .unwrap();
    let cells = &terminal.backend().buffer().content;
    let row = |row: &[ratatui::buffer::Cell]| {
        row.iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect::<String>()
    };
    cells
        .chunks(usize::from(columns))
        .map(|cells| row(cells).trim_end().to_owned())
        .collect()
}

fn seen_rows(seen: &vt100::Parser) -> Vec<String> {
    let columns = seen.screen().size().1;
    seen.screen()
        .rows(0, columns)
        .map(|row| row.trim_end().to_owned())
        .collect()
}

#[test]
fn a_terminal_shows_what_was_drawn_and_gets_its_cursor_back() {
    let mut pty = pty(80, 25);
    let mut seen = vt100::Parser::new(25, 80, 0);
    let mut console = Console::open_as(&pty.path, Mode::Terminal).unwrap();
    show(
        &mut console,
        &mut pty,
        &mut seen,
        View::Registration(&screen()),
    );
    assert_eq!(seen_rows(&seen), wanted(&screen(), 80, 25));
    assert!(seen.screen().hide_cursor());
    drop(console);
    seen.process(&pty.read());
    assert!(!seen.screen().hide_cursor());
}

#[test]
fn what_the_kernel_wrote_over_the_picture_is_repaired_without_clearing() {
    let mut pty = pty(80, 25);
    let mut seen = vt100::Parser::new(25, 80, 0);
    let mut console = Console::open_as(&pty.path, Mode::VirtualConsole).unwrap();
    show(
        &mut console,
        &mut pty,
        &mut seen,
        View::Registration(&screen()),
    );
    seen.process(b"\x1b[10;1H[   61.0] usb 1-1: new device\r\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
    assert_ne!(seen_rows(&seen), wanted(&screen(), 80, 25));
    console.whole_at = console
        .whole_at
        .and_then(|at| at.checked_sub(Duration::from_secs(2)));
    assert!(
        console
            .show(View::Registration(&screen()), Duration::ZERO)
            .unwrap()
    );
    let bytes = pty.read();
    assert!(!bytes.windows(4).any(|bytes| bytes == b"\x1b[2J"));
    seen.process(&bytes);
    assert_eq!(seen_rows(&seen), wanted(&screen(), 80, 25));
}

#[test]
fn only_a_virtual_console_is_told_to_speak_utf8_and_not_to_blank() {
    for (mode, told) in [(Mode::VirtualConsole, true), (Mode::Terminal, false)] {
        let mut pty = pty(80, 25);
        let mut console = Console::open_as(&pty.path, mode).unwrap();
        assert!(console.finish(PATIENCE).unwrap());
        assert_eq!(
            pty.read().starts_with(b"\x1b%G\x1b[9;0]\x1b[14;0]"),
            told,
            "{mode:?}"
        );
    }
}

#[test]
fn the_picture_follows_the_size_of_the_terminal() {
    let mut pty = pty(80, 25);
    let mut seen = vt100::Parser::new(25, 80, 0);
    let mut console = Console::open_as(&pty.path, Mode::Terminal).unwrap();
    for (columns, rows) in [(80, 25), (132, 43), (20, 5), (300, 100), (1, 1), (80, 25)] {
        pty.resize(columns, rows);
        seen.screen_mut().set_size(rows, columns);
        show(
            &mut console,
            &mut pty,
            &mut seen,
            View::Registration(&screen()),
        );
        if columns > 1 {
            assert_eq!(
                seen_rows(&seen),
                wanted(&screen(), columns, rows),
                "{columns}x{rows}"
            );
        }
    }
}

#[test]
fn a_serial_line_of_unknown_size_is_80_by_24() {
    let pty = pty(0, 0);
    let mut console = Console::open_as(&pty.path, Mode::Terminal).unwrap();
    let mut area = ratatui::layout::Rect::ZERO;
    console.draw(|frame| area = frame.area()).unwrap();
    assert_eq!((area.width, area.height), (80, 24));
}

#[test]
fn a_line_that_nobody_reads_never_blocks_and_is_right_again_once_it_is_read() {
    let mut pty = pty(200, 60);
    let mut console = Console::open_as(&pty.path, Mode::Terminal).unwrap();
    let start = Instant::now();
    let mut busy = 0;
    for n in 0..10 {
        let text = format!("{n}").repeat(200 * 60);
        let drawn = console.draw(|frame| {
            frame.render_widget(
                Paragraph::new(text).wrap(ratatui::widgets::Wrap::default()),
                frame.area(),
            );
        });
        busy += u32::from(!drawn.unwrap());
    }
    assert!(busy >= 8, "{busy}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(
        console.terminal.backend().unsent() < 40_000,
        "pictures queue up"
    );

    let mut seen = vt100::Parser::new(60, 200, 0);
    for _ in 0..50 {
        let done = console
            .draw(|frame| frame.render_widget(Block::bordered(), frame.area()))
            .unwrap();
        seen.process(&pty.read());
        if done && console.terminal.backend().unsent() == 0 && seen_rows(&seen)[0].starts_with('┌')
        {
            break;
        }
    }
    let rows = seen_rows(&seen);
    assert_eq!(rows[0], format!("┌{}┐", "─".repeat(198)));
    assert_eq!(rows[30], format!("│{}│", " ".repeat(198)));
}

#[test]
fn a_file_and_a_dumb_terminal_get_lines() {
    let pty = pty(80, 25);
    let terminal = open_device(&pty.path).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let none: &[(&str, &str)] = &[];
    let cases = [
        (&terminal, none, Mode::Terminal),
        (&terminal, &[("TERM", "dumb")], Mode::Lines),
        (
            &terminal,
            &[("TERM", "vt220"), ("LANG", "C")],
            Mode::Terminal,
        ),
        (&terminal, &[("LANG", "en_US.UTF-8")], Mode::Terminal),
        (
            &terminal,
            &[("LANG", "C.utf8"), ("LC_ALL", "")],
            Mode::Terminal,
        ),
        (
            &terminal,
            &[("LANG", "de_DE.ISO-8859-15@euro")],
            Mode::Lines,
        ),
        (
            &terminal,
            &[("LANG", "C.UTF-8"), ("LC_ALL", "ru_RU.KOI8-R")],
            Mode::Lines,
        ),
        (file.as_file(), none, Mode::Lines),
    ];
    for (device, environment, wanted) in cases {
        let variable = |name: &str| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(detect(device, variable).unwrap(), wanted, "{environment:?}");
    }
}

#[test]
fn lines_go_to_a_file_once_and_without_escape_sequences() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut console = Console::open(file.path()).unwrap();
    for _ in 0..3 {
        assert!(
            console
                .show(View::Registration(&screen()), Duration::from_millis(61_250))
                .unwrap()
        );
    }
    drop(console);
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(
        text,
        "[  61.2 s] Edge host ID edge-03163342f7f0e6fe20de095ed8548c93\r\n\
         [  61.2 s]   state     waiting\r\n\
         [  61.2 s]   page      https://pair.example.com/?appliance-id=edge-03163342f7f0e6fe20de095ed8548c93\r\n"
    );
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let error = Console::open(Path::new("/dev/landfall-does-not-exist")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
