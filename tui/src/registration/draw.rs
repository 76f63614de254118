//! The picture: bar, words on the left, QR code on the right; or the paired screen; or only lines.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Rect, Size},
    text::{Line, Span},
    widgets::Widget,
};

use super::{RegistrationScreen, Slot, State, panel};
use crate::{
    big::big,
    qr::{Qr, QrWidget, Scale},
    stack::{Block, stack, write},
    theme,
    words::shorten,
};

/// Below this there is no picture, only lines.
const LEAST: Size = Size::new(60, 20);
/// The column of words beside the QR code, with its margins.
const PANEL: u16 = 34;
/// Text is not set wider than this, however wide the console is.
const MEASURE: u16 = 76;
/// Rows of the bar at the top, with and without air.
const BAR: (u16, u16) = (4, 2);

/// Draws the registration screen into the whole frame. Any size is allowed.
pub fn draw_registration(screen: &RegistrationScreen, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    theme::fill(area, theme::TEXT, buffer);
    if area.width < LEAST.width || area.height < LEAST.height {
        draw_lines(screen, area, buffer);
        return;
    }
    let code = code(screen);
    let place = match &code {
        Code::Shown(qr) => place(qr, area),
        _ => None,
    };
    let bar = place.map_or(BAR.0, |place| place.bar);
    let [top, body] = split(area, bar);
    draw_bar(screen, top, buffer);
    match (&code, place) {
        (Code::Shown(qr), Some(place)) => {
            QrWidget {
                qr,
                scale: place.scale,
            }
            .render(place.area, buffer);
            let words = Rect {
                width: body.width.saturating_sub(place.area.width),
                ..body
            };
            draw_words(screen, None, inner(words, 1), buffer);
        }
        _ if screen.state == State::Healthy => draw_paired(screen, body, buffer),
        _ => draw_words(
            screen,
            why_no_code(&code, area).as_deref(),
            inner(body, 1),
            buffer,
        ),
    }
}

enum Code {
    /// There is nothing to scan: no URL, or the host is registered.
    None,
    Shown(Qr),
    TooLong,
}

fn code(screen: &RegistrationScreen) -> Code {
    match screen
        .qr_text
        .as_deref()
        .filter(|_| !screen.state.is_registered())
    {
        None => Code::None,
        Some(text) => Qr::new(text).map_or(Code::TooLong, Code::Shown),
    }
}

/// Why there is no picture of a QR code although there is a URL.
fn why_no_code(code: &Code, area: Rect) -> Option<String> {
    match code {
        Code::None => None,
        Code::TooLong => Some("No QR code: the URL is too long for one.".to_owned()),
        Code::Shown(qr) => {
            let least = qr.least_size();
            let (width, height) = (least.width + PANEL, least.height + BAR.1);
            let (have_width, have_height) = (area.width, area.height);
            Some(format!(
                "No QR code: for this URL it needs a console of {width}x{height}, and this one has \
                 {have_width}x{have_height}."
            ))
        }
    }
}

/// Where the QR code stands, and how high the bar above it is.
#[derive(Clone, Copy)]
struct Place {
    bar: u16,
    scale: Scale,
    area: Rect,
}

/// Finds the best place at the right edge: large modules first; then air in the bar, where it costs no module.
fn place(qr: &Qr, area: Rect) -> Option<Place> {
    let fit = |bar: u16| {
        qr.fit(Size::new(
            area.width.saturating_sub(PANEL),
            area.height.saturating_sub(bar),
        ))
        .map(|scale| (bar, scale))
    };
    let (high, low) = (fit(BAR.0), fit(BAR.1));
    let (bar, scale) = high
        .filter(|(_, scale)| low.is_none_or(|(_, low)| *scale == low))
        .or(low)?;
    let size = qr.size(scale);
    let room = area.height - bar;
    // In a tall room the code stands in the middle, where a phone is held.
    let (x, y) = (
        area.right() - size.width,
        area.y + bar + (room - size.height) / 2,
    );
    Some(Place {
        bar,
        scale,
        area: Rect::new(x, y, size.width, size.height),
    })
}

fn split(area: Rect, top: u16) -> [Rect; 2] {
    let top = top.min(area.height);
    [
        Rect {
            height: top,
            ..area
        },
        Rect {
            y: area.y + top,
            height: area.height - top,
            ..area
        },
    ]
}

fn inner(area: Rect, margin: u16) -> Rect {
    let width = area.width.saturating_sub(margin * 2);
    Rect {
        x: area.x + margin,
        width,
        ..area
    }
}

/// Program, slot and ID, on a coloured ground.
fn draw_bar(screen: &RegistrationScreen, area: Rect, buffer: &mut Buffer) {
    let (strong, soft) = panel::tone(screen.state).bar();
    theme::fill(area, soft, buffer);
    let area = inner(area, 1);
    let title = Line::from(vec![
        Span::styled("Landfall", strong),
        Span::styled(format!(" {}", shorten(&screen.version, 20)), soft),
        Span::styled("  Edge host registration", soft),
    ]);
    let title_columns = u16::try_from(title.width())
        .unwrap_or(u16::MAX)
        .min(area.width);
    write(&[title], area, buffer);
    draw_whereabouts(
        screen,
        Rect {
            x: area.x + title_columns,
            width: area.width - title_columns,
            ..area
        },
        buffer,
    );
    let label = "Edge host ID  ";
    let label_width = 14;
    let ids = panel::id_lines(
        &screen.edge_host_id,
        area.width.saturating_sub(label_width),
        strong,
        strong,
    );
    let row = area.y + if area.height >= BAR.0 { 2 } else { 1 };
    buffer.set_string(area.x, row, label, soft);
    let rows = Rect {
        x: area.x + label_width,
        width: area.width - label_width,
        y: row,
        height: area.bottom() - row,
    };
    write(&ids, rows, buffer);
}

/// Host name and slot at the right end of a row. A slot other than the active one stands out.
fn draw_whereabouts(screen: &RegistrationScreen, area: Rect, buffer: &mut Buffer) {
    let (strong, soft) = panel::tone(screen.state).bar();
    let slot = screen
        .slot
        .map(|slot| format!("slot {}", slot.name()))
        .unwrap_or_default();
    let slot_style = if screen.slot == Some(Slot::Active) {
        soft
    } else {
        strong
    };
    let room = usize::from(area.width).saturating_sub(slot.len() + 4);
    // A host name equal to the ID says nothing new.
    let host_name = screen
        .host_name
        .as_deref()
        .filter(|name| *name != screen.edge_host_id)
        .unwrap_or_default();
    let host_name = shorten(host_name, u16::try_from(room).unwrap_or(0));
    let line = Line::from(vec![
        Span::styled(host_name, strong),
        Span::raw("  "),
        Span::styled(slot, slot_style),
    ]);
    let width = u16::try_from(line.width())
        .unwrap_or(u16::MAX)
        .min(area.width);
    buffer.set_line(area.right() - width, area.y, &line, width);
}

/// The column of words, with the login at its foot.
fn draw_words(screen: &RegistrationScreen, no_code: Option<&str>, area: Rect, buffer: &mut Buffer) {
    let area = Rect {
        width: area.width.min(MEASURE),
        ..area
    };
    let width = area.width;
    let foot = panel::login(screen, width).lines;
    let foot_rows = u16::try_from(foot.len()).unwrap_or(0).min(2);
    let room = area.height.saturating_sub(foot_rows + 1);
    let can_scan = no_code.is_none() && screen.qr_text.is_some();
    let mut blocks = vec![
        panel::headline(screen, width),
        panel::reason(screen, width),
        panel::action(screen, width, can_scan),
        panel::twin(screen, width),
        panel::ladder(screen, width),
        panel::url(screen, width),
    ];
    if let Some(why) = no_code {
        let lines = crate::words::wrap(why, width)
            .into_iter()
            .map(|line| Line::styled(line, theme::DIM));
        blocks.push(Block::new(panel::rank::NO_QR, lines.collect()));
    }
    blocks.push(panel::big_id(&screen.edge_host_id, width));
    let middle = Rect {
        y: area.y + 1,
        height: room,
        ..area
    };
    write(&stack(blocks, room), middle, buffer);
    let foot_area = Rect {
        y: area.bottom() - foot_rows,
        height: foot_rows,
        ..area
    };
    write(&foot, foot_area, buffer);
}

/// The end of the way: large, green, and nothing to do.
fn draw_paired(screen: &RegistrationScreen, area: Rect, buffer: &mut Buffer) {
    // As large as leaves room for the words below it.
    let factor = usize::from((area.width / 40).min(area.height / 10).clamp(2, 5));
    let mut lines: Vec<Line<'static>> = big("PAIRED", factor, |_| theme::GOOD).unwrap_or_default();
    lines.push(Line::default());
    lines.push(Line::default());
    lines.push(Line::styled(
        "This host is paired with Palette and healthy. Nothing is left to do here.",
        theme::STRONG,
    ));
    lines.push(Line::default());
    lines.push(panel::ladder_line());
    lines.push(Line::default());
    let facts = [
        ("Host name", screen.host_name.clone()),
        ("Address", Some(screen.addresses.join("  "))),
        ("Palette", screen.endpoint.clone()),
    ];
    let facts: Vec<(&str, String)> = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .collect();
    let room = area.width.saturating_sub(16);
    let values: Vec<String> = facts
        .iter()
        .map(|(_, value)| shorten(value, room))
        .collect();
    let widest = values
        .iter()
        .map(|value| crate::words::columns(value))
        .max()
        .unwrap_or(0);
    for ((name, _), value) in facts.iter().zip(values) {
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<11}"), theme::LABEL),
            Span::styled(format!("{value:<widest$}"), theme::TEXT),
        ]));
    }
    let told = panel::twin(screen, area.width.saturating_sub(2).min(MEASURE)).lines;
    if !told.is_empty() {
        lines.push(Line::default());
        lines.extend(told);
    }
    let foot = panel::login(screen, area.width.saturating_sub(2)).lines;
    let foot_rows = u16::try_from(foot.len()).unwrap_or(0).min(2);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let room = area.height.saturating_sub(foot_rows);
    let top = area.y + room.saturating_sub(height) / 2;
    write_centred(
        &lines,
        Rect {
            y: top,
            height: room.min(height),
            ..area
        },
        buffer,
    );
    write_centred(
        &foot,
        Rect {
            y: area.bottom() - foot_rows,
            height: foot_rows,
            ..area
        },
        buffer,
    );
}

fn write_centred(lines: &[Line<'_>], area: Rect, buffer: &mut Buffer) {
    for (row, line) in area.rows().zip(lines) {
        let width = u16::try_from(line.width())
            .unwrap_or(u16::MAX)
            .min(row.width);
        buffer.set_line(row.x + (row.width - width) / 2, row.y, line, width);
    }
}

/// A console too small for a picture: what matters, line by line.
fn draw_lines(screen: &RegistrationScreen, area: Rect, buffer: &mut Buffer) {
    let width = area.width;
    let mut title = format!("Landfall {}", screen.version);
    if let Some(slot) = screen.slot {
        title.push_str(", slot ");
        title.push_str(slot.name());
    }
    let title = Block::new(
        panel::rank::TITLE,
        vec![Line::styled(shorten(&title, width), theme::DIM)],
    );
    let id = panel::id_lines(&screen.edge_host_id, width, theme::STRONG, theme::ACCENT);
    let blocks = vec![
        title,
        Block::new(panel::rank::ID, id),
        panel::headline(screen, width),
        panel::reason(screen, width),
        panel::address(screen, width),
        panel::action(screen, width, false),
        panel::twin(screen, width),
        panel::url(screen, width),
        panel::login(screen, width),
    ];
    write(&stack(blocks, area.height), area, buffer);
}
