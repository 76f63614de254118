//! Letters of three by five pixels, two pixels to a cell, for what must be read from a few metres away.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// Pixels of a letter from top to bottom, three bits a row, the left one highest.
const LETTERS: &[(char, [u8; 5])] = &[
    ('0', [7, 5, 5, 5, 7]),
    ('1', [2, 6, 2, 2, 7]),
    ('2', [7, 1, 7, 4, 7]),
    ('3', [7, 1, 3, 1, 7]),
    ('4', [5, 5, 7, 1, 1]),
    ('5', [7, 4, 7, 1, 7]),
    ('6', [7, 4, 7, 5, 7]),
    ('7', [7, 1, 2, 2, 2]),
    ('8', [7, 5, 7, 5, 7]),
    ('9', [7, 5, 7, 1, 7]),
    // Lower case, so that b and d are not taken for 8 and 0.
    ('a', [0, 6, 3, 5, 7]),
    ('b', [4, 6, 5, 5, 6]),
    ('c', [0, 3, 4, 4, 3]),
    ('d', [1, 3, 5, 5, 3]),
    ('e', [0, 3, 5, 6, 3]),
    ('f', [1, 2, 7, 2, 2]),
    ('g', [3, 5, 3, 1, 6]),
    ('-', [0, 0, 7, 0, 0]),
    ('A', [7, 5, 7, 5, 5]),
    ('D', [6, 5, 5, 5, 6]),
    ('E', [7, 4, 6, 4, 7]),
    ('I', [7, 2, 2, 2, 7]),
    ('P', [7, 5, 7, 4, 4]),
    ('R', [7, 5, 6, 5, 5]),
];

/// Pixel rows of a letter.
const HEIGHT: usize = 5;

/// Columns of one letter with the gap behind it.
pub(crate) const COLUMNS: u16 = 4;

/// Draws text as lines of half blocks, every pixel `factor` columns and half rows large. `style` gives the style of
/// the n-th letter. `None` when a letter has no picture.
pub(crate) fn big(
    text: &str,
    factor: usize,
    style: impl Fn(usize) -> Style,
) -> Option<Vec<Line<'static>>> {
    let letters: Vec<[u8; 5]> = text.chars().map(picture).collect::<Option<_>>()?;
    let half_rows = HEIGHT * factor;
    let line = |row: usize| {
        let spans = letters.iter().enumerate().map(|(at, letter)| {
            let pixel = |x: usize, half_row: usize| {
                let bits = if half_row < half_rows {
                    letter[half_row / factor]
                } else {
                    0
                };
                x < 3 && bits & (4 >> x) != 0
            };
            let cells = (0..4 * factor).map(|x| {
                match (pixel(x / factor, row * 2), pixel(x / factor, row * 2 + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            });
            Span::styled(cells.collect::<String>(), style(at))
        });
        Line::from(spans.collect::<Vec<_>>())
    };
    Some((0..half_rows.div_ceil(2)).map(line).collect())
}

fn picture(letter: char) -> Option<[u8; 5]> {
    LETTERS
        .iter()
        .find(|(name, _)| *name == letter)
        .map(|(_, rows)| *rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_letters_look_alike() {
        for (at, (name, rows)) in LETTERS.iter().enumerate() {
            let twin = LETTERS.iter().skip(at + 1).find(|(_, other)| other == rows);
            assert_eq!(twin.map(|(other, _)| other), None, "{name}");
        }
    }

    #[test]
    fn letters_are_drawn_in_half_blocks_at_any_size() {
        let lines = |factor| -> Vec<String> {
            big("1-", factor, |_| Style::new())
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(lines(1), ["▄█      ", " █  ▀▀▀ ", "▀▀▀     "]);
        assert_eq!(
            lines(2),
            [
                "  ██            ",
                "████            ",
                "  ██    ██████  ",
                "  ██            ",
                "██████          ",
            ]
        );
        assert!(big("ü", 1, |_| Style::new()).is_none());
    }
}
