//! Every screen at several sizes: what it looks like, and what must hold at any size.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as the tests do"
)]

#[path = "shared/picture.rs"]
mod picture;
#[path = "shared/variants.rs"]
mod variants;

use std::{io::Write, path::Path};

use variants::{ID, Variant};

/// The printable characters of code page 437, which is what the font of a VGA console has.
const CODE_PAGE_437: &str = "☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■";

#[test]
fn every_screen_looks_as_it_did() {
    for (name, variant) in variants::all() {
        for (columns, rows) in [(80, 25), (132, 43)] {
            insta::assert_snapshot!(
                format!("{name}_{columns}x{rows}"),
                text(&variant.draw(columns, rows))
            );
        }
    }
}

#[test]
fn small_screens_look_as_they_did() {
    for (name, variant) in variants::all() {
        if [
            "waiting",
            "unreachable",
            "healthy",
            "install_write",
            "install_failed",
            "choose_disk_of_twelve",
            "choose_confirm",
        ]
        .contains(&name)
        {
            for (columns, rows) in [(40, 12), (20, 5)] {
                let text = text(&variant.draw(columns, rows));
                insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), text);
            }
        }
    }
}

#[test]
fn choices_look_as_they_did_on_a_frame_buffer() {
    for (name, variant) in variants::all() {
        if matches!(variant, Variant::Choice(_)) {
            let text = text(&variant.draw(160, 50));
            insta::assert_snapshot!(format!("{name}_160x50"), text);
        }
    }
}

#[test]
fn the_chosen_row_and_the_word_to_type_are_on_every_console() {
    for (name, variant) in variants::all() {
        let Variant::Choice(screen) = &variant else {
            continue;
        };
        for (columns, rows) in [(160, 50), (80, 25), (80, 24), (40, 12)] {
            let text = text(&variant.draw(columns, rows));
            if let Some(choice) = screen.choices.get(screen.chosen) {
                let row = format!("►{:>2}  {}", screen.chosen + 1, choice.cells[0]);
                assert!(text.contains(&row), "{name} at {columns}x{rows}:\n{text}");
            }
            if let Some(entry) = &screen.entry {
                assert!(text.contains(&format!(" {}_", entry.typed)), "{text}");
            }
        }
    }
}

#[test]
fn a_phone_reads_the_code_from_any_console_that_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut read = 0;
    for (name, variant) in variants::all() {
        let Variant::Registration(screen) = &variant else {
            continue;
        };
        let Some(url) = screen
            .qr_text
            .as_deref()
            .filter(|_| name.starts_with("waiting"))
        else {
            continue;
        };
        for (columns, rows) in [(80, 24), (80, 25), (132, 43), (160, 50)] {
            let buffer = variant.draw(columns, rows);
            if !shows_code(&buffer) {
                assert_eq!((name, columns), ("waiting_long_url", 80));
                continue;
            }
            for cell_width in [8, 9] {
                let file = folder
                    .path()
                    .join(format!("{name}_{columns}x{rows}_{cell_width}.png"));
                let png = picture::Picture::draw(&buffer, cell_width).to_png();
                std::fs::File::create(&file)
                    .unwrap()
                    .write_all(&png)
                    .unwrap();
                assert_eq!(decode(&file), url, "{}", file.display());
                read += 1;
            }
        }
    }
    assert_eq!(read, 2 * 4 * 2 + 2 * 2);
}

#[test]
fn the_code_is_shown_until_the_host_is_registered() {
    for (name, variant) in variants::all() {
        let shown = [
            "no_network",
            "unreachable",
            "tls",
            "waiting",
            "waiting_twin",
            "registering",
            "rejected",
        ]
        .contains(&name);
        assert_eq!(shows_code(&variant.draw(80, 25)), shown, "{name}");
    }
}

/// The text of a buffer, without blanks at the ends of lines.
fn text(buffer: &ratatui::buffer::Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let row = |row: &[ratatui::buffer::Cell]| {
        row.iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect::<String>()
    };
    rows.map(|cells| row(cells).trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether a QR code is in the picture: nothing else has a light edge so long.
fn shows_code(buffer: &ratatui::buffer::Buffer) -> bool {
    text(buffer).contains(&"█".repeat(33))
}

/// Reads a QR code as an independent program sees it. Fails when the program is missing: Debian package `zbar-tools`.
#[expect(clippy::disallowed_methods, reason = "a test starts the reader itself")]
fn decode(picture: &Path) -> String {
    let output = std::process::Command::new("zbarimg")
        .args(["--quiet", "--raw"])
        .arg(picture)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "zbarimg read nothing in {}",
        picture.display()
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn the_id_is_whole_on_every_console() {
    for (name, variant) in variants::all() {
        let Variant::Registration(_) = variant else {
            continue;
        };
        for (columns, rows) in [
            (300, 100),
            (160, 50),
            (80, 25),
            (80, 24),
            (60, 20),
            (59, 20),
            (40, 12),
            (37, 5),
        ] {
            let text = text(&variant.draw(columns, rows));
            assert!(text.contains(ID), "{name} at {columns}x{rows}:\n{text}");
        }
        // Narrower than the ID: on two lines, which follow one another.
        let text = text(&variant.draw(20, 5)).replace('\n', "");
        assert!(text.contains(ID), "{name} at 20x5:\n{text}");
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    for (_, variant) in variants::all() {
        for columns in (1..=20).chain([36, 37, 59, 60, 79, 80, 81, 132, 300]) {
            for rows in (1..=9).chain([12, 19, 20, 24, 25, 26, 43, 100]) {
                variant.draw(columns, rows);
            }
        }
    }
}

#[test]
fn only_symbols_and_colours_of_a_vga_console_are_drawn() {
    for (name, variant) in variants::all() {
        for (columns, rows) in [(80, 25), (160, 50), (40, 12)] {
            let buffer = variant.draw(columns, rows);
            for cell in &buffer.content {
                let known = cell.symbol().is_ascii() || CODE_PAGE_437.contains(cell.symbol());
                assert!(known, "{name} draws {:?}", cell.symbol());
            }
            // Panics at a colour that is none of the sixteen, or at one that the terminal would choose.
            picture::Picture::draw(&buffer, 8);
        }
    }
}

#[test]
fn what_a_caller_passes_in_cannot_leave_its_place() {
    for (_, variant) in variants::all() {
        let Variant::Registration(mut screen) = variant else {
            continue;
        };
        let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\r\n\u{9b}1;1H\u{202e}long ".repeat(40);
        screen.reason = Some(evil.clone());
        screen.action = Some(evil.clone());
        screen.host_name = Some(evil.clone());
        screen.endpoint = Some(evil.clone());
        screen.addresses = vec![evil.clone(); 9];
        screen.version = evil;
        let buffer = Variant::Registration(screen).draw(80, 25);
        for cell in &buffer.content {
            assert!(
                !cell
                    .symbol()
                    .chars()
                    .any(|c| c.is_control() || c == '\u{202e}'),
                "{:?}",
                cell.symbol()
            );
        }
        assert!(text(&buffer).contains(ID));
    }
}
