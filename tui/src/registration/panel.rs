//! The words of the registration screen, as blocks for a column of a given width.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{RegistrationScreen, Rung, State};
use crate::{
    big::{COLUMNS, big},
    plain::human_time,
    stack::Block,
    theme::{self, Tone},
    words::{clean, columns, wrap},
};

/// What must not go when room is short has the higher rank.
pub(super) mod rank {
    pub(in crate::registration) const ID: u8 = 100;
    pub(in crate::registration) const HEADLINE: u8 = 90;
    pub(in crate::registration) const REASON: u8 = 80;
    pub(in crate::registration) const ADDRESS: u8 = 70;
    pub(in crate::registration) const ACTION: u8 = 60;
    pub(in crate::registration) const URL: u8 = 50;
    pub(in crate::registration) const NO_QR: u8 = 45;
    pub(in crate::registration) const TWIN: u8 = 42;
    pub(in crate::registration) const LADDER: u8 = 40;
    pub(in crate::registration) const LOGIN: u8 = 30;
    pub(in crate::registration) const TITLE: u8 = 10;
    pub(in crate::registration) const BIG_ID: u8 = 5;
}

pub(super) const fn tone(state: State) -> Tone {
    match state {
        State::NoNetwork | State::Unreachable | State::Tls | State::Rejected => Tone::Bad,
        State::Waiting => Tone::Wait,
        State::Registering => Tone::Calm,
        State::Ready | State::Healthy => Tone::Good,
    }
}

const fn headline_text(state: State) -> &'static str {
    match state {
        State::NoNetwork => "No network",
        State::Unreachable => "Palette does not answer",
        State::Tls => "Palette is not trusted",
        State::Waiting => "Waiting to be added",
        State::Registering => "Registering",
        State::Rejected => "Palette refused this host",
        State::Ready => "Registered",
        State::Healthy => "Paired and healthy",
    }
}

/// Advice for a state, for callers that have none of their own.
const fn advice(state: State, can_scan: bool) -> Option<&'static str> {
    match state {
        State::NoNetwork => Some("Plug in a network cable, or look at the port and the switch."),
        State::Unreachable => Some("Check DNS, proxy and firewall of this network."),
        State::Tls => {
            Some("Check the clock of this host, and the CA certificates in its user-data.")
        }
        State::Waiting if can_scan => {
            Some("Scan the code with a phone, or add the ID in Palette: Clusters > Edge Hosts.")
        }
        State::Waiting => Some("Add the ID in Palette: Clusters > Edge Hosts > Add Edge Hosts."),
        State::Rejected => Some("Check the registration token and the project in the user-data."),
        State::Ready => Some("Nothing to do. Palette is waiting for the first health report."),
        State::Registering | State::Healthy => None,
    }
}

/// `style` over a wrapped text.
fn styled(text: &str, width: u16, style: Style) -> Vec<Line<'static>> {
    wrap(text, width)
        .into_iter()
        .map(|line| Line::styled(line, style))
        .collect()
}

/// A name in front of a wrapped value; later lines of the value stand under its first.
fn field(
    name: &str,
    value: &str,
    indent: u16,
    width: u16,
    value_style: Style,
) -> Vec<Line<'static>> {
    let mut name = format!("{name:<indent$}", indent = usize::from(indent));
    let mut lines = Vec::new();
    for part in wrap(value, width.saturating_sub(indent)) {
        lines.push(Line::from(vec![
            Span::styled(name, theme::LABEL),
            Span::styled(part, value_style),
        ]));
        name = " ".repeat(usize::from(indent));
    }
    lines
}

fn indented(mut line: Line<'static>) -> Line<'static> {
    line.spans.insert(0, Span::raw("  "));
    line
}

/// The state in words, the code of a fault, and when the next try is.
pub(super) fn headline(screen: &RegistrationScreen, width: u16) -> Block {
    let style = tone(screen.state).headline();
    let text = format!("{} {}", theme::SQUARE, headline_text(screen.state));
    let mut lines = styled(&text, width, style);
    let next_try = screen
        .next_try_s
        .map(|seconds| format!("next try in {}", human_time(seconds)));
    let facts: Vec<String> = screen.code.iter().cloned().chain(next_try).collect();
    if !facts.is_empty() {
        lines.extend(
            styled(&facts.join(", "), width.saturating_sub(2), theme::TEXT)
                .into_iter()
                .map(indented),
        );
    }
    Block::new(rank::HEADLINE, lines)
}

/// What is wrong.
pub(super) fn reason(screen: &RegistrationScreen, width: u16) -> Block {
    let lines = screen
        .reason
        .as_deref()
        .map(|reason| styled(reason, width, theme::STRONG));
    Block::new(rank::REASON, lines.unwrap_or_default())
}

/// What to do next.
pub(super) fn action(screen: &RegistrationScreen, width: u16, can_scan: bool) -> Block {
    let text = screen
        .action
        .as_deref()
        .or_else(|| advice(screen.state, can_scan));
    Block::new(
        rank::ACTION,
        text.map(|text| styled(text, width, theme::TEXT))
            .unwrap_or_default(),
    )
}

/// The registration URL in words. A blank in it, which should not be there, must not break it.
pub(super) fn url(screen: &RegistrationScreen, width: u16) -> Block {
    let url = screen
        .qr_text
        .as_deref()
        .filter(|_| !screen.state.is_registered());
    let lines = url.map(|url| styled(&clean(url).replace(' ', "%20"), width, theme::LABEL));
    Block::new(rank::URL, lines.unwrap_or_default())
}

/// Addresses and endpoint, where there is no ladder that shows them.
pub(super) fn address(screen: &RegistrationScreen, width: u16) -> Block {
    let mut lines = Vec::new();
    if !screen.addresses.is_empty() {
        lines = field(
            "Address",
            &screen.addresses.join(" "),
            9,
            width,
            theme::TEXT,
        );
    }
    if let Some(endpoint) = &screen.endpoint {
        lines.extend(field("Palette", endpoint, 9, width, theme::TEXT));
    }
    Block::new(rank::ADDRESS, lines)
}

/// Another disk with an installation.
pub(super) fn twin(screen: &RegistrationScreen, width: u16) -> Block {
    let lines = screen
        .twin
        .as_deref()
        .map(|twin| styled(twin, width, theme::WAIT));
    Block::new(rank::TWIN, lines.unwrap_or_default())
}

/// How to get a login.
pub(super) fn login(screen: &RegistrationScreen, width: u16) -> Block {
    Block::new(
        rank::LOGIN,
        screen
            .login
            .as_deref()
            .map(|text| styled(text, width, theme::TEXT))
            .unwrap_or_default(),
    )
}

/// Columns of a rung before what is known about it.
const RUNG_INDENT: u16 = 13;

/// The rungs with what is known about each.
pub(super) fn ladder(screen: &RegistrationScreen, width: u16) -> Block {
    let at = screen.stopped_at.or_else(|| screen.state.rung());
    let mut lines = Vec::new();
    for rung in Rung::ALL {
        let (symbol, style, name_style, detail_style) = rung_style(screen.state, rung, at);
        // An IPv6 address takes two rows beside a QR code. More would push out what matters.
        let details = wrap(
            &rung_detail(screen, rung),
            width.saturating_sub(RUNG_INDENT),
        );
        let mut details = details
            .into_iter()
            .take(2)
            .map(|detail| Span::styled(detail, detail_style));
        lines.push(Line::from(vec![
            Span::styled(format!("{symbol} "), style),
            Span::styled(format!("{:<11}", rung.name()), name_style),
            details.next().unwrap_or_default(),
        ]));
        let indent = || Span::raw(" ".repeat(usize::from(RUNG_INDENT)));
        lines.extend(details.map(|detail| Line::from(vec![indent(), detail])));
    }
    Block::new(rank::LADDER, lines)
}

/// All rungs in one line, for the paired screen.
pub(super) fn ladder_line() -> Line<'static> {
    let spans = Rung::ALL.into_iter().flat_map(|rung| {
        let gap = if rung == Rung::Healthy { "" } else { "  " };
        [
            Span::styled(format!("{} ", theme::DONE), theme::GOOD),
            Span::styled(format!("{}{gap}", rung.name()), theme::TEXT),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}

fn rung_style(state: State, rung: Rung, at: Option<Rung>) -> (&'static str, Style, Style, Style) {
    match at {
        Some(at) if rung > at => (theme::PENDING, theme::DIM, theme::DIM, theme::DIM),
        Some(at) if rung == at && state.is_fault() => {
            (theme::FAILED, theme::BAD, theme::BAD, theme::STRONG)
        }
        Some(at) if rung == at => (
            theme::ACTIVE,
            tone(state).headline(),
            theme::STRONG,
            theme::STRONG,
        ),
        _ => (theme::DONE, theme::GOOD, theme::TEXT, theme::STRONG),
    }
}

fn rung_detail(screen: &RegistrationScreen, rung: Rung) -> String {
    match rung {
        Rung::Link => screen.links.join(" "),
        Rung::Address => screen.addresses.join(" "),
        Rung::Name => {
            let endpoint = screen.endpoint.as_deref().unwrap_or_default();
            // The scheme is always the same, and the column is narrow.
            endpoint
                .strip_prefix("https://")
                .unwrap_or(endpoint)
                .trim_end_matches('/')
                .to_owned()
        }
        _ => String::new(),
    }
}

/// The ID, whole, however narrow the column is. Every second group of four is in another colour, which helps to read
/// it out without adding blanks that do not belong to it.
pub(super) fn id_lines(id: &str, width: u16, plain: Style, other: Style) -> Vec<Line<'static>> {
    let text = clean(id);
    let mut spans: Vec<(char, Style)> = Vec::new();
    let prefix = text.find('-').map_or(0, |at| at + 1);
    for (at, c) in text.char_indices() {
        let group = at.checked_sub(prefix).map(|at| at / 4);
        spans.push((
            c,
            if group.is_some_and(|group| group % 2 == 0) {
                other
            } else {
                plain
            },
        ));
    }
    let mut lines = Vec::new();
    for row in spans.chunks(usize::from(width.max(1))) {
        let runs = row.chunk_by(|a, b| a.1 == b.1);
        let spans =
            runs.map(|run| Span::styled(run.iter().map(|(c, _)| c).collect::<String>(), run[0].1));
        lines.push(Line::from(spans.collect::<Vec<_>>()));
    }
    lines
}

/// The ID in letters three rows high, eight to a line, for a console whose own letters are tiny from a ladder.
pub(super) fn big_id(id: &str, width: u16) -> Block {
    let split = id.find('-').map_or(0, |at| at + 1);
    let (prefix, rest) = id.split_at_checked(split).unwrap_or(("", id));
    let rest: Vec<char> = rest.chars().collect();
    let mut rows: Vec<String> = if prefix.is_empty() {
        Vec::new()
    } else {
        vec![prefix.to_owned()]
    };
    rows.extend(rest.chunks(8).map(|row| row.iter().collect::<String>()));
    let style = |row: &str, at: usize| {
        if row == prefix || at < 4 {
            theme::STRONG
        } else {
            theme::ACCENT
        }
    };
    let fits = |row: &String| columns(row) * usize::from(COLUMNS) <= usize::from(width);
    let picture = |row: &String| big(row, 1, |at| style(row, at)).filter(|_| fits(row));
    let pictures: Option<Vec<_>> = rows.iter().map(picture).collect();
    Block::new(
        rank::BIG_ID,
        pictures.unwrap_or_default().into_iter().flatten().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_below_the_fault_are_done_and_those_above_are_to_come() {
        let cases = [
            (State::NoNetwork, None, "!······"),
            (State::NoNetwork, Some(Rung::Address), "√!·····"),
            (State::Unreachable, None, "√√!····"),
            (State::Unreachable, Some(Rung::Connection), "√√√!···"),
            (State::Tls, None, "√√√√!··"),
            (State::Waiting, None, "√√√√√►·"),
            (State::Registering, None, "√√√√√►·"),
            (State::Rejected, None, "√√√√√!·"),
            (State::Ready, None, "√√√√√√►"),
            (State::Healthy, None, "√√√√√√√"),
        ];
        for (state, stopped_at, wanted) in cases {
            let screen = RegistrationScreen {
                state,
                stopped_at,
                ..Default::default()
            };
            let symbols: String = ladder(&screen, 30)
                .lines
                .iter()
                .filter_map(|line| line.to_string().chars().next())
                .collect();
            assert_eq!(symbols, wanted, "{state:?}");
        }
    }

    #[test]
    fn a_long_address_goes_on_in_the_next_row() {
        let screen = RegistrationScreen {
            addresses: vec!["2001:db8:1234:5678:9abc:def0:1234:5678".into()],
            state: State::Ready,
            ..Default::default()
        };
        let lines: Vec<String> = ladder(&screen, 33)
            .lines
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[1], "√ Address    2001:db8:1234:5678:9");
        assert_eq!(lines[2], "             abc:def0:1234:5678");
    }

    #[test]
    fn every_state_but_the_last_says_what_to_do_or_that_it_works_on_it() {
        for state in State::ALL {
            let silent = matches!(state, State::Registering | State::Healthy);
            assert_eq!(advice(state, true).is_none(), silent, "{state:?}");
        }
    }

    #[test]
    fn the_id_is_whole_at_every_width() {
        let id = "edge-03163342f7f0e6fe20de095ed8548c93";
        for width in 1..50 {
            let lines = id_lines(id, width, theme::STRONG, theme::ACCENT);
            let text: String = lines.iter().map(ToString::to_string).collect();
            assert_eq!(text, id, "{width}");
            assert!(
                lines.iter().all(|line| line.width() <= usize::from(width)),
                "{width}"
            );
        }
    }

    #[test]
    fn groups_of_four_alternate_in_colour() {
        let lines = id_lines("edge-03163342f7f0", 40, theme::STRONG, theme::ACCENT);
        let spans: Vec<(&str, Style)> = lines[0]
            .iter()
            .map(|span| (span.content.as_ref(), span.style))
            .collect();
        assert_eq!(
            spans,
            [
                ("edge-", theme::STRONG),
                ("0316", theme::ACCENT),
                ("3342", theme::STRONG),
                ("f7f0", theme::ACCENT)
            ]
        );
    }
}
