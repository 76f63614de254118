//! The install progress screen.
//!
//! ```text
//! +------------------------------------------------------------------------------+
//! | Landfall 0.1.0  Installing                                                   |
//! +------------------------------------------------------------------------------+
//! | Disk  /dev/nvme0n1  256 GiB                                                  |
//! |                                                                              |
//! | √ Check      √ Partition     ► Write active     · Write passive   ...        |
//! |                                                                              |
//! | Write active                                                                 |
//! | ███████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  45 %  |
//! | 345 MiB of 760 MiB  180 MiB/s  3 s left                                      |
//! |                                                                              |
//! | the last lines of the log                                                    |
//! +------------------------------------------------------------------------------+
//! ```

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::{
    bar::draw_bar,
    choice::document_lines,
    plain::{human_bytes, human_rate, human_time},
    stack::{Block, stack, write},
    theme::{self, Tone},
    words::{columns, shorten, wrap},
};

/// How far a phase is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PhaseState {
    /// To come.
    #[default]
    Pending,
    /// At work.
    Active,
    /// Done.
    Done,
}

/// A part of the installation with a name of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phase {
    /// One to three words: `Write active`.
    pub name: String,
    /// How far it is.
    pub state: PhaseState,
}

/// How far the current step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 when that is not known.
    pub total: u64,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// Seconds left.
    pub left_s: Option<u64>,
}

/// What is being done to the machine; the words on the screen follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// A system is laid on a disk.
    #[default]
    Install,
    /// Both systems are written again from the recovery partition, and all data stays.
    Repair,
    /// An installed system is written again from its recovery partition.
    Reset,
}

impl Work {
    /// While it goes on.
    const fn doing(self) -> &'static str {
        match self {
            Self::Install => "Installing",
            Self::Repair => "Repairing",
            Self::Reset => "Resetting",
        }
    }

    /// When it is done.
    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::Install => "Installed",
            Self::Repair => "Repaired",
            Self::Reset => "Reset",
        }
    }
}

/// How the work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The disk boots.
    Installed {
        /// What comes now: `rebooting in 5 s`.
        next: String,
        /// How long it took, in seconds.
        seconds: u64,
    },
    /// Nothing was written.
    Refused {
        /// Stable code: `LF-DISK-001`.
        code: String,
        /// One sentence.
        reason: String,
        /// What to do next, one sentence.
        action: String,
    },
    /// Nothing was written: a disk has a system, and nobody asked for another one.
    InstalledAlready {
        /// Stable code: `LF-DISK-020`.
        code: String,
        /// What was found, one sentence.
        reason: String,
        /// What happens next, and which keys change it.
        action: String,
    },
    /// Something was written, and the disk does not boot.
    Failed {
        /// Stable code: `LF-IMG-004`.
        code: String,
        /// One sentence.
        reason: String,
        /// What to do next, one sentence.
        action: String,
        /// The end of the log.
        last_lines: Vec<String>,
    },
}

impl Outcome {
    /// What a refusal says about the disk.
    pub const DISK_UNTOUCHED: &'static str = "The disk was not changed.";
    /// What a failure says about the disk.
    pub const DISK_BROKEN: &'static str = "The disk was changed and does not boot.";

    /// Whether two outcomes differ in words only.
    pub(crate) fn is_same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    const fn tone(&self) -> Tone {
        match self {
            Self::Installed { .. } => Tone::Good,
            Self::InstalledAlready { .. } => Tone::Wait,
            Self::Refused { .. } | Self::Failed { .. } => Tone::Bad,
        }
    }
}

/// Everything the install screen can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallScreen {
    /// Version of Landfall, without a leading `v`.
    pub version: String,
    /// What is being done.
    pub work: Work,
    /// The disk in words: `/dev/nvme0n1  Samsung 980  1 TB`.
    pub disk: Option<String>,
    /// The parts of the installation, in order.
    pub phases: Vec<Phase>,
    /// What is being done, in words.
    pub current: String,
    /// How far that is.
    pub progress: Option<Progress>,
    /// The last lines of the log, newest last; as many are shown as there is room for.
    pub log_tail: Vec<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// After a good end: lines to copy, such as what was chosen on the screen, as user-data.
    pub document: Vec<String>,
}

mod rank {
    pub(super) const OUTCOME: u8 = 100;
    pub(super) const PROGRESS: u8 = 90;
    pub(super) const ACTION: u8 = 80;
    pub(super) const PHASES: u8 = 70;
    pub(super) const DOCUMENT: u8 = 65;
    pub(super) const DISK: u8 = 60;
    pub(super) const LOG: u8 = 10;
}

/// Draws the install screen into the whole frame. Any size is allowed.
pub fn draw_install(screen: &InstallScreen, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let tone = screen.outcome.as_ref().map_or(Tone::Calm, Outcome::tone);
    let body = draw_bar(&screen.version, title(screen), tone, area, buffer);
    draw_body(screen, body, buffer);
}

const fn title(screen: &InstallScreen) -> &'static str {
    match &screen.outcome {
        None => screen.work.doing(),
        Some(Outcome::Installed { .. }) => screen.work.done(),
        Some(Outcome::InstalledAlready { .. }) => "Installed already",
        Some(Outcome::Refused { .. }) => "Refused",
        Some(Outcome::Failed { .. }) => "Failed",
    }
}

fn draw_body(screen: &InstallScreen, area: Rect, buffer: &mut Buffer) {
    let width = area.width;
    let mut blocks = vec![Block::new(rank::DISK, disk_lines(screen, width))];
    let mut log_style = theme::DIM;
    let log = match &screen.outcome {
        None => {
            blocks.push(Block::new(rank::PHASES, phase_lines(&screen.phases, width)));
            blocks.push(Block::new(rank::PROGRESS, progress_lines(screen, width)));
            &screen.log_tail
        }
        Some(outcome) => {
            blocks.extend(outcome_blocks(screen.work, outcome, width));
            blocks.push(Block::new(
                rank::DOCUMENT,
                document_lines(&screen.document, width),
            ));
            match outcome {
                Outcome::Failed { last_lines, .. } if !last_lines.is_empty() => {
                    log_style = theme::TEXT;
                    last_lines
                }
                _ => &screen.log_tail,
            }
        }
    };
    // The log takes what is left below the rest, and its newest lines count.
    let taken: usize = blocks
        .iter()
        .filter(|block| !block.lines.is_empty())
        .map(|block| block.lines.len() + 1)
        .sum();
    let room = usize::from(area.height).saturating_sub(taken + 1);
    let newest = log.iter().skip(log.len().saturating_sub(room));
    let mut lines: Vec<Line<'static>> = newest
        .map(|line| Line::styled(shorten(line, width), log_style))
        .collect();
    if !lines.is_empty() {
        lines.insert(0, Line::styled("─".repeat(usize::from(width)), theme::DIM));
    }
    blocks.push(Block::new(rank::LOG, lines));
    write(&stack(blocks, area.height), area, buffer);
}

fn disk_lines(screen: &InstallScreen, width: u16) -> Vec<Line<'static>> {
    let Some(disk) = &screen.disk else {
        return Vec::new();
    };
    vec![Line::from(vec![
        Span::styled("Disk  ", theme::LABEL),
        Span::styled(shorten(disk, width.saturating_sub(6)), theme::STRONG),
    ])]
}

/// The phases in as many columns as fit, read from top to bottom.
fn phase_lines(phases: &[Phase], width: u16) -> Vec<Line<'static>> {
    let widest = phases
        .iter()
        .map(|phase| columns(&phase.name))
        .max()
        .unwrap_or(0);
    let cell = widest + 5;
    let across = (usize::from(width) / cell.max(1)).clamp(1, 3);
    let down = phases.len().div_ceil(across);
    let row = |row: usize| {
        let cells = phases
            .iter()
            .skip(row)
            .step_by(down.max(1))
            .flat_map(|phase| {
                let (symbol, style, name_style) = match phase.state {
                    PhaseState::Pending => (theme::PENDING, theme::DIM, theme::DIM),
                    PhaseState::Active => (theme::ACTIVE, theme::ACCENT, theme::STRONG),
                    PhaseState::Done => (theme::DONE, theme::GOOD, theme::TEXT),
                };
                let name = shorten(&phase.name, width.saturating_sub(2));
                [
                    Span::styled(format!("{symbol} "), style),
                    Span::styled(format!("{name:<0$}", cell - 2), name_style),
                ]
            });
        Line::from(cells.collect::<Vec<_>>())
    };
    (0..down).map(row).collect()
}

fn progress_lines(screen: &InstallScreen, width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = wrap(&screen.current, width)
        .into_iter()
        .map(|line| Line::styled(line, theme::STRONG))
        .collect();
    let Some(progress) = &screen.progress else {
        return lines;
    };
    if progress.total > 0 {
        lines.push(bar_line(progress, width));
    }
    let mut facts = if progress.total > 0 {
        format!(
            "{} of {}",
            human_bytes(progress.done),
            human_bytes(progress.total)
        )
    } else {
        human_bytes(progress.done)
    };
    for fact in [
        progress.rate.map(human_rate),
        progress
            .left_s
            .map(|left| format!("{} left", human_time(left))),
    ] {
        facts.push_str(&fact.map(|fact| format!("  {fact}")).unwrap_or_default());
    }
    lines.push(Line::styled(shorten(&facts, width), theme::TEXT));
    lines
}

fn bar_line(progress: &Progress, width: u16) -> Line<'static> {
    let label = format!(" {:>3} %", progress.percent());
    let room = usize::from(width).saturating_sub(label.len());
    let part = u128::from(progress.done.min(progress.total)) * room as u128
        / u128::from(progress.total.max(1));
    let full = usize::try_from(part).unwrap_or(room);
    Line::from(vec![
        Span::styled("█".repeat(full), theme::ACCENT),
        Span::styled("░".repeat(room - full), theme::DIM),
        Span::styled(label, theme::STRONG),
    ])
}

fn outcome_blocks(work: Work, outcome: &Outcome, width: u16) -> Vec<Block> {
    let styled = |text: &str, style: Style| -> Vec<Line<'static>> {
        wrap(text, width)
            .into_iter()
            .map(|line| Line::styled(line, style))
            .collect()
    };
    let headline = |text: &str| {
        styled(
            &format!("{} {text}", theme::SQUARE),
            outcome.tone().headline(),
        )
    };
    let trouble = |word: &str, code: &str, disk: &str, reason: &str, action: &str| {
        let mut what = headline(&format!("{word}  {code}"));
        what.extend(styled(reason, theme::STRONG));
        let next = wrap(action, width.saturating_sub(6))
            .into_iter()
            .enumerate()
            .map(|(at, line)| {
                let label = if at == 0 { "Next  " } else { "      " };
                Line::from(vec![
                    Span::styled(label, theme::LABEL),
                    Span::styled(line, theme::STRONG),
                ])
            });
        vec![
            Block::new(rank::OUTCOME, what),
            Block::new(rank::PROGRESS, styled(disk, theme::TEXT)),
            Block::new(rank::ACTION, next.collect()),
        ]
    };
    match outcome {
        Outcome::Installed { next, seconds } => vec![
            Block::new(
                rank::OUTCOME,
                headline(&format!("{} in {}", work.done(), human_time(*seconds))),
            ),
            Block::new(rank::ACTION, styled(next, theme::STRONG)),
        ],
        Outcome::Refused {
            code,
            reason,
            action,
        } => trouble("Refused", code, Outcome::DISK_UNTOUCHED, reason, action),
        Outcome::InstalledAlready {
            code,
            reason,
            action,
        } => {
            let disk = Outcome::DISK_UNTOUCHED;
            trouble("A system is installed already", code, disk, reason, action)
        }
        Outcome::Failed {
            code,
            reason,
            action,
            ..
        } => trouble("Failed", code, Outcome::DISK_BROKEN, reason, action),
    }
}
