//! Text from outside, made fit for a console.

use textwrap::{Options, WordSeparator, WordSplitter};

/// Takes out what could steer a terminal, and spells out what the VGA font lacks.
///
/// Escape sequences vanish whole, other control characters become blanks. Typographic quotes, dashes and dots become
/// their ASCII forms.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    // A control sequence ends at its first byte of 0x40..=0x7e (ECMA-48, 5.4).
                    let _ = chars.find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            '\u{2018}' | '\u{2019}' => out.push('\''),
            '\u{201c}' | '\u{201d}' => out.push('"'),
            '\u{2013}' | '\u{2014}' => out.push('-'),
            '\u{2026}' => out.push_str("..."),
            '\u{2192}' => out.push_str("->"),
            // Format characters (bidirectional overrides, joiners) reorder or hide what follows.
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Breaks text into lines of at most `width` columns; words are cut only when they are longer than a line.
pub(crate) fn wrap(text: &str, width: u16) -> Vec<String> {
    // No breaks at hyphens: they are part of host IDs and addresses.
    let options = Options::new(usize::from(width.max(1)))
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(&clean(text), options)
        .into_iter()
        .map(std::borrow::Cow::into_owned)
        .collect()
}

/// Cuts text to `width` columns and says so with two dots.
pub(crate) fn shorten(text: &str, width: u16) -> String {
    let text = clean(text);
    let width = usize::from(width);
    if columns(&text) <= width {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if columns(&out) + 2 > width {
            out.pop();
            break;
        }
    }
    out.push_str(if width > 2 { ".." } else { "" });
    out
}

/// The columns that text takes.
pub(crate) fn columns(text: &str) -> usize {
    textwrap::core::display_width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let cases = [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("a\tb\r\n", "a b"),
            ("bell\u{7}", "bell "),
            ("\u{1b}", ""),
            ("\u{1b}[1;", ""),
            ("it\u{2019}s \u{2014} done\u{2026}", "it's - done..."),
            ("ab\u{202e}cd", "abcd"),
            ("c1\u{9b}31m", "c1 31m"),
        ];
        for (text, wanted) in cases {
            assert_eq!(clean(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_host_id_is_broken_only_when_the_line_is_shorter_than_it() {
        let id = "edge-03163342f7f0e6fe20de095ed8548c93";
        assert_eq!(wrap(id, 37), [id]);
        assert_eq!(wrap(id, 36), ["edge-03163342f7f0e6fe20de095ed8548c9", "3"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("x", 0), ["x"]);
    }

    #[test]
    fn what_is_cut_says_so() {
        for (width, wanted) in [
            (9, "/dev/sda1"),
            (8, "/dev/s.."),
            (3, "/.."),
            (2, ""),
            (0, ""),
        ] {
            assert_eq!(shorten("/dev/sda1", width), wanted, "{width}");
        }
    }
}
