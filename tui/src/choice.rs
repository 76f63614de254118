//! The screen on which a person chooses.
//!
//! ```text
//! +------------------------------------------------------------------------------+
//! | Landfall 0.1.0  Choose a disk                                                |
//! +------------------------------------------------------------------------------+
//! | ■ Which disk shall be erased?                                                |
//! | what led here                                                                |
//! |                                                                              |
//! |   1  /dev/sda      232 GiB  Samsung SSD 980                                  |
//! |      NVMe, serial S5GX: Windows, NTFS 231 GiB                                |
//! | ► 2  /dev/sdb      8.0 GiB  ...                                              |
//! |                                                                              |
//! | ↑↓ choose   Enter go on   Esc back                                           |
//! +------------------------------------------------------------------------------+
//! ```
//!
//! A list that is too long for the console scrolls; the row that is chosen is always in view.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    bar::draw_bar,
    stack::{Block, stack, write},
    theme::{self, Tone},
    words::{clean, columns, shorten, wrap},
};

mod list;

use list::list_lines;

/// What a choice is about, at first glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// A question like others.
    #[default]
    Question,
    /// Something went otherwise than planned.
    Warning,
    /// The next step destroys something, or something is broken.
    Danger,
}

impl Mood {
    const fn tone(self) -> Tone {
        match self {
            Self::Question => Tone::Calm,
            Self::Warning => Tone::Wait,
            Self::Danger => Tone::Bad,
        }
    }
}

/// A name and a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fact {
    /// One or two words.
    pub name: String,
    /// The value; as many lines as it needs.
    pub value: String,
}

/// One of the things that can be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The first line, in columns that are as wide for every choice.
    pub cells: Vec<String>,
    /// What else is to be known; as many lines as it needs. For what cannot be chosen: why.
    pub detail: String,
    /// Whether it can be chosen.
    pub enabled: bool,
}

/// Something to type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What to type, and what it does.
    pub question: String,
    /// What was typed so far.
    pub typed: String,
}

/// A key, and what it does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// `↑↓`, `Enter`, `Esc`, `1-3`.
    pub key: &'static str,
    /// One to three words.
    pub does: &'static str,
}

impl Hint {
    /// Keys with what they do, in the order of the screen.
    pub fn list(pairs: &[(&'static str, &'static str)]) -> Vec<Self> {
        pairs.iter().map(|(key, does)| Self { key, does }).collect()
    }
}

/// Everything that a screen for choosing can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChoiceScreen {
    /// Version of Landfall, without a leading `v`.
    pub version: String,
    /// What this is, in the bar.
    pub title: String,
    /// How serious it is.
    pub mood: Mood,
    /// The question or what happened, one line or two.
    pub headline: String,
    /// What must be known, one paragraph each.
    pub text: Vec<String>,
    /// What must be known, in columns.
    pub facts: Vec<Fact>,
    /// What can be chosen.
    pub choices: Vec<Choice>,
    /// Which of them the cursor is on, from 0.
    pub chosen: usize,
    /// Lines to copy, as they are.
    pub document: Vec<String>,
    /// What is to be typed.
    pub entry: Option<Entry>,
    /// What the last key led to, if that needs a word.
    pub remark: String,
    /// When something happens by itself.
    pub clock: String,
    /// The keys.
    pub hints: Vec<Hint>,
}

mod rank {
    pub(super) const HEADLINE: u8 = 100;
    pub(super) const ENTRY: u8 = 95;
    pub(super) const CHOICES: u8 = 90;
    pub(super) const REMARK: u8 = 85;
    pub(super) const FACTS: u8 = 70;
    pub(super) const TEXT: u8 = 60;
    pub(super) const CLOCK: u8 = 50;
    pub(super) const DOCUMENT: u8 = 40;
}

/// Above lines that are meant to be copied.
pub(crate) const DOCUMENT_TITLE: &str = "The same choice as user-data";

/// Rows that a list keeps when other things want its place.
const LEAST_ROWS: usize = 4;

/// Draws the screen into the whole frame. Any size is allowed.
pub fn draw_choice(screen: &ChoiceScreen, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let tone = screen.mood.tone();
    let body = draw_bar(&screen.version, &screen.title, tone, area, buffer);
    let hints = hint_lines(&screen.hints, body.width);
    // The keys stand in the last rows, where they are on every page.
    let rows = u16::try_from(hints.len()).unwrap_or(0);
    let kept = if body.height > rows * 4 { rows } else { 0 };
    let upper = Rect {
        height: body.height - kept,
        ..body
    };
    draw_body(screen, upper, buffer);
    let lower = Rect {
        y: body.y + upper.height,
        height: kept,
        ..body
    };
    write(&hints, lower, buffer);
}

fn draw_body(screen: &ChoiceScreen, area: Rect, buffer: &mut Buffer) {
    let width = area.width;
    let mut headline = paragraph(
        &format!("{} {}", theme::SQUARE, screen.headline),
        width,
        screen.mood.tone().headline(),
    );
    if screen.headline.is_empty() {
        headline.clear();
    }
    let text = screen
        .text
        .iter()
        .flat_map(|text| paragraph(text, width, theme::TEXT))
        .collect();
    let mut blocks = vec![
        Block::new(rank::HEADLINE, headline),
        Block::new(rank::TEXT, text),
        Block::new(rank::FACTS, fact_lines(&screen.facts, width)),
        Block::new(rank::CHOICES, Vec::new()),
        Block::new(rank::DOCUMENT, document_lines(&screen.document, width)),
        Block::new(rank::ENTRY, entry_lines(screen.entry.as_ref(), width)),
        Block::new(rank::REMARK, paragraph(&screen.remark, width, theme::WAIT)),
        Block::new(rank::CLOCK, paragraph(&screen.clock, width, theme::DIM)),
    ];
    let others: usize = blocks
        .iter()
        .filter(|block| !block.lines.is_empty())
        .map(|block| block.lines.len() + 1)
        .sum();
    let room = usize::from(area.height)
        .saturating_sub(others + 1)
        .max(LEAST_ROWS);
    let list = list_lines(&screen.choices, screen.chosen, width, room);
    if let Some(block) = blocks.iter_mut().find(|block| block.rank == rank::CHOICES) {
        block.lines = list;
    }
    write(&stack(blocks, area.height), area, buffer);
}

fn paragraph(text: &str, width: u16, style: Style) -> Vec<Line<'static>> {
    if text.is_empty() {
        return Vec::new();
    }
    wrap(text, width)
        .into_iter()
        .map(|line| Line::styled(line, style))
        .collect()
}

fn fact_lines(facts: &[Fact], width: u16) -> Vec<Line<'static>> {
    let widest = facts.iter().map(|fact| columns(&fact.name)).max();
    let label = widest.unwrap_or(0) + 2;
    let room = width.saturating_sub(u16::try_from(label).unwrap_or(0));
    let lines = |fact: &Fact| {
        let name = clean(&fact.name);
        wrap(&fact.value, room)
            .into_iter()
            .enumerate()
            .map(move |(at, line)| {
                let name = if at == 0 { name.as_str() } else { "" };
                Line::from(vec![
                    Span::styled(format!("{name:<label$}"), theme::LABEL),
                    Span::styled(line, theme::STRONG),
                ])
            })
            .collect::<Vec<_>>()
    };
    facts.iter().flat_map(lines).collect()
}

/// Lines to copy, below a rule that says what they are.
pub(crate) fn document_lines(document: &[String], width: u16) -> Vec<Line<'static>> {
    if document.is_empty() {
        return Vec::new();
    }
    let title = format!("── {DOCUMENT_TITLE} ");
    let rule = "─".repeat(usize::from(width).saturating_sub(columns(&title)));
    let mut lines = vec![Line::styled(
        shorten(&format!("{title}{rule}"), width),
        theme::DIM,
    )];
    // Not wrapped: a line of YAML that goes on below would be copied wrong.
    lines.extend(
        document
            .iter()
            .map(|line| Line::styled(shorten(line, width), theme::ACCENT)),
    );
    lines
}

fn entry_lines(entry: Option<&Entry>, width: u16) -> Vec<Line<'static>> {
    let Some(entry) = entry else {
        return Vec::new();
    };
    let mut lines = paragraph(&entry.question, width, theme::STRONG);
    let typed = shorten(&entry.typed, FIELD - 2);
    let field = format!(" {:<1$}", format!("{typed}_"), usize::from(FIELD) - 1);
    lines.push(Line::from(Span::styled(field, theme::CURSOR)));
    lines
}

/// Columns of the field that shows what is typed.
const FIELD: u16 = 20;

fn hint_lines(hints: &[Hint], width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut used = 0;
    for hint in hints {
        let spans = [
            Span::styled(hint.key, theme::STRONG),
            Span::styled(format!(" {}   ", hint.does), theme::LABEL),
        ];
        let wide = columns(hint.key) + columns(hint.does) + 1;
        if lines.is_empty() || used + wide > usize::from(width) {
            lines.push(Line::default());
            used = 0;
        }
        used += wide + 3;
        if let Some(line) = lines.last_mut() {
            line.spans.extend(spans);
        }
    }
    lines
}
