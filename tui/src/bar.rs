//! What the screens of the installer have in common: the bar at the top, and where the body goes.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    stack::write,
    theme::{self, Tone},
    words::shorten,
};

/// Text is not set wider than this, however wide the console is.
const MEASURE: u16 = 100;

/// Clears the area, draws the bar with version and title, and gives what is left for the body.
pub(crate) fn draw_bar(
    version: &str,
    title: &str,
    tone: Tone,
    area: Rect,
    buffer: &mut Buffer,
) -> Rect {
    theme::fill(area, theme::TEXT, buffer);
    let rows = match area.height {
        0..8 => 0,
        8..20 => 1,
        _ => 3,
    };
    let margin = if area.width < 60 {
        0
    } else {
        (area.width.saturating_sub(MEASURE) / 2).max(2)
    };
    let air = u16::from(rows > 1);
    let inner = Rect {
        x: area.x + margin,
        width: area.width - margin * 2,
        ..area
    };
    if rows > 0 {
        let (strong, soft) = tone.bar();
        theme::fill(
            Rect {
                height: rows,
                ..area
            },
            soft,
            buffer,
        );
        let line = Line::from(vec![
            Span::styled("Landfall", strong),
            Span::styled(format!(" {}  ", shorten(version, 20)), soft),
            Span::styled(shorten(title, 40), strong),
        ]);
        let row = Rect {
            y: area.y + rows / 2,
            height: 1,
            ..inner
        };
        write(&[line], row, buffer);
    }
    Rect {
        y: area.y + rows + air,
        height: area.height - rows - air,
        ..inner
    }
}
