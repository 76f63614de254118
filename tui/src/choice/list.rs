//! The list of what can be chosen: columns, a cursor, and a window on what does not fit.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::Choice;
use crate::{
    theme,
    words::{clean, columns, shorten, wrap},
};

/// Columns in front of the text: the cursor, the number, and air.
const LEAD: u16 = 5;

/// The list in at most `room` rows, with the chosen one in view.
pub(super) fn list_lines(
    choices: &[Choice],
    chosen: usize,
    width: u16,
    room: usize,
) -> Vec<Line<'static>> {
    let widths = column_widths(choices);
    let mut items: Vec<Vec<Line<'static>>> = choices
        .iter()
        .enumerate()
        .map(|(at, choice)| item_lines(choice, at, at == chosen, &widths, width))
        .collect();
    let rows: usize = items.iter().map(Vec::len).sum();
    let detailed = choices.iter().any(|choice| !choice.detail.is_empty());
    if rows <= room {
        let air = detailed && rows + items.len() - usize::from(!items.is_empty()) <= room;
        let last = items.len().saturating_sub(1);
        for item in items.iter_mut().take(if air { last } else { 0 }) {
            item.push(Line::default());
        }
        return items.concat();
    }
    let heights: Vec<usize> = items.iter().map(Vec::len).collect();
    let shown = window(&heights, chosen, room.saturating_sub(2));
    let more = |count: usize, symbol: &str, word: &str| {
        let text = match count {
            0 => String::new(),
            count => format!("{:1$}{symbol} {count} more {word}", "", usize::from(LEAD)),
        };
        Line::styled(text, theme::WAIT)
    };
    let mut lines = vec![more(shown.start, "▲", "above")];
    let below = items.len() - shown.end;
    lines.extend(items.drain(shown).flatten());
    lines.push(more(below, "▼", "below"));
    lines
}

/// Which items fit into `room` rows with the chosen one among them: from the first, as long as it is in view.
fn window(heights: &[usize], chosen: usize, room: usize) -> std::ops::Range<usize> {
    let chosen = chosen.min(heights.len().saturating_sub(1));
    let mut start = 0;
    while start < chosen && heights[start..=chosen].iter().sum::<usize>() > room {
        start += 1;
    }
    let mut end = start;
    let mut taken = 0;
    while end < heights.len() && (taken + heights[end] <= room || end <= chosen) {
        taken += heights[end];
        end += 1;
    }
    start..end
}

/// The widest text of each column but the last, which takes what is left.
fn column_widths(choices: &[Choice]) -> Vec<usize> {
    let count = choices.iter().map(|choice| choice.cells.len()).max();
    let widest = |column: usize| {
        choices
            .iter()
            .filter_map(|choice| choice.cells.get(column))
            .map(|cell| columns(&clean(cell)))
            .max()
            .unwrap_or(0)
    };
    (0..count.unwrap_or(0).saturating_sub(1))
        .map(widest)
        .collect()
}

fn item_lines(
    choice: &Choice,
    at: usize,
    chosen: bool,
    widths: &[usize],
    width: u16,
) -> Vec<Line<'static>> {
    let (mark, title, detail): (_, Style, Style) = match (chosen, choice.enabled) {
        (true, true) => (theme::ACTIVE, theme::CURSOR, theme::CURSOR_DETAIL),
        (true, false) => (theme::ACTIVE, theme::CURSOR_DETAIL, theme::CURSOR_DETAIL),
        (false, true) => (" ", theme::STRONG, theme::TEXT),
        // Why something cannot be chosen must be legible as well.
        (false, false) => (" ", theme::DIM, theme::TEXT),
    };
    let mut cells = String::new();
    for (column, cell) in choice.cells.iter().enumerate() {
        let cell = clean(cell);
        let wide = widths.get(column).map_or(0, |wide| wide + 2);
        let blank = wide.saturating_sub(columns(&cell));
        cells.push_str(&cell);
        cells.push_str(&" ".repeat(blank));
    }
    let room = width.saturating_sub(LEAD);
    let number = format!("{mark}{:>2}  ", at + 1);
    let mut lines = vec![full_line(&number, &shorten(&cells, room), title, width)];
    if !choice.detail.is_empty() {
        let wrapped = wrap(&choice.detail, room);
        lines.extend(
            wrapped
                .iter()
                .map(|line| full_line("     ", line, detail, width)),
        );
    }
    lines
}

/// A line that has its style up to the edge.
fn full_line(lead: &str, text: &str, style: Style, width: u16) -> Line<'static> {
    let blank = usize::from(width).saturating_sub(columns(lead) + columns(text));
    Line::from(Span::styled(format!("{lead}{text}{:blank$}", ""), style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_chosen_one_and_is_full() {
        let twos = [2; 6];
        assert_eq!(window(&twos, 0, 6), 0..3);
        assert_eq!(window(&twos, 2, 6), 0..3);
        assert_eq!(window(&twos, 3, 6), 1..4);
        assert_eq!(window(&twos, 5, 7), 3..6);
        assert_eq!(window(&[2, 9, 2], 1, 4), 1..2, "taller than the window");
        assert_eq!(window(&[], 0, 4), 0..0);
        assert_eq!(window(&twos, 99, 6), 3..6);
    }

    #[test]
    fn whatever_is_chosen_is_in_view_and_no_more_rows_are_taken_than_there_are() {
        let choices: Vec<Choice> = (0..12)
            .map(|at| Choice {
                cells: vec![format!("/dev/sd{at}"), "model".into()],
                detail: "detail".into(),
                enabled: at % 3 != 0,
            })
            .collect();
        for room in 4..40 {
            for chosen in 0..choices.len() {
                let lines = list_lines(&choices, chosen, 76, room);
                assert!(lines.len() <= room, "{} of {room}", lines.len());
                let marked = format!("{}{:>2}  /dev/sd{chosen}", theme::ACTIVE, chosen + 1);
                assert!(
                    lines
                        .iter()
                        .any(|line| line.to_string().starts_with(&marked)),
                    "{chosen} in {room}"
                );
            }
        }
    }
}
