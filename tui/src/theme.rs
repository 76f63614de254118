//! Colours and symbols.
//!
//! Only the 16 colours of VGA text mode, and as backgrounds only the eight dark ones: the ninth bit blinks there.
//! Every cell gets both colours, so that a terminal with a light theme shows the same picture.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
};

/// A step that is done. The square root is what the VGA font has for a tick.
pub(crate) const DONE: &str = "√";
/// A step at work.
pub(crate) const ACTIVE: &str = "►";
/// A step to come.
pub(crate) const PENDING: &str = "·";
/// A step that stopped everything.
pub(crate) const FAILED: &str = "!";
/// In front of a headline.
pub(crate) const SQUARE: &str = "■";

const fn on_black(colour: Color) -> Style {
    Style::new().fg(colour).bg(Color::Black)
}

/// Running text.
pub(crate) const TEXT: Style = on_black(Color::Gray);
/// What has to be read first.
pub(crate) const STRONG: Style = on_black(Color::White);
/// Names of fields, and what is of no interest yet.
pub(crate) const DIM: Style = on_black(Color::DarkGray);
/// Names of fields that have a value.
pub(crate) const LABEL: Style = on_black(Color::Cyan);
/// Work in progress.
pub(crate) const ACCENT: Style = on_black(Color::LightCyan);
/// Done, healthy.
pub(crate) const GOOD: Style = on_black(Color::LightGreen);
/// Waiting for a person.
pub(crate) const WAIT: Style = on_black(Color::LightYellow);
/// Wrong.
pub(crate) const BAD: Style = on_black(Color::LightRed);

/// The row that the cursor is on, and what is typed.
pub(crate) const CURSOR: Style = Style::new().fg(Color::White).bg(Color::Blue);
/// The rest of that row.
pub(crate) const CURSOR_DETAIL: Style = Style::new().fg(Color::Gray).bg(Color::Blue);

/// What a screen says at first glance, before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Calm,
    Wait,
    Good,
    Bad,
}

impl Tone {
    /// The style of a headline.
    pub(crate) const fn headline(self) -> Style {
        match self {
            Self::Calm => ACCENT,
            Self::Wait => WAIT,
            Self::Good => GOOD,
            Self::Bad => BAD,
        }
    }

    /// The bar at the top: its style for what matters, and for the rest.
    pub(crate) const fn bar(self) -> (Style, Style) {
        let (back, strong, soft) = match self {
            Self::Calm | Self::Wait => (Color::Blue, Color::White, Color::LightCyan),
            Self::Good => (Color::Green, Color::White, Color::Black),
            Self::Bad => (Color::Red, Color::White, Color::Gray),
        };
        (
            Style::new().fg(strong).bg(back),
            Style::new().fg(soft).bg(back),
        )
    }
}

/// Fills an area with blanks in the given style.
pub(crate) fn fill(area: Rect, style: Style, buffer: &mut Buffer) {
    for position in area.intersection(buffer.area).positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
            cell.set_style(style);
        }
    }
}
