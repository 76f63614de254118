use proptest::prelude::*;

use super::*;
use crate::choosing::tests::{disk, question, question_with_ours};
use crate::screens::drawn_choice;

/// Types: `^` up, `v` down, `\r` Enter, `<` Backspace, `!` Escape.
fn type_in(pages: &mut Pages, text: &str) -> Option<String> {
    let mut last = None;
    for letter in text.chars() {
        last = pages.key(match letter {
            '^' => Key::Up,
            'v' => Key::Down,
            '\r' => Key::Enter,
            '<' => Key::Backspace,
            '!' => Key::Escape,
            letter => Key::Char(letter),
        });
    }
    last
}

fn typed(text: &str) -> Option<String> {
    type_in(&mut Pages::new(question()), text)
}

#[test]
fn a_disk_what_follows_and_the_word_make_a_document() {
    // Up to the first choice of what follows; the user-data say "switch off".
    let document = typed("4\r^\rERASE\r").unwrap();
    insta::assert_snapshot!(document, @r#"
    #cloud-config
    install:
      device: auto
      reboot: true
      poweroff: false
    landfall:
      disk:
        serial: "VCGX5P2N"
    "#);
    assert!(typed("\r\rERASE\r").unwrap().contains("poweroff: true"));
    assert!(
        typed("vvv\r3\rERASE\r")
            .unwrap()
            .contains("reboot: false\n  poweroff: false")
    );
}

#[test]
fn nothing_is_erased_without_the_whole_word_in_capitals_and_enter() {
    for keys in [
        "\r\rERASE",
        "\r\rerase\r",
        "\r\rERAS\r",
        "\r\rERASEX\r",
        "\r\r\r\r",
        "\r\rERASE!\r",
        "ERASE\r",
        "\rERASE\r",
        "\r\rERA\rSE\r",
        "\r\rERASE!\rERAS\r",
    ] {
        assert_eq!(typed(keys), None, "{keys:?}");
    }
    assert!(typed("\r\rERX<ASE\r").is_some());
    assert!(
        typed("\r\rERA!\rERASE\r").is_some(),
        "what was typed before is gone"
    );
}

#[test]
fn escape_goes_back_page_by_page_and_keeps_what_was_chosen() {
    let mut pages = Pages::new(question());
    type_in(&mut pages, "4\r1\r!!");
    assert_eq!((pages.page, pages.disk, pages.next), (Page::Disk, 3, 0));
    type_in(&mut pages, "!!!");
    assert_eq!(pages.page, Page::Disk);
}

#[test]
fn a_disk_that_cannot_be_chosen_says_why_and_is_not_left() {
    let mut pages = Pages::new(question());
    assert_eq!(type_in(&mut pages, "3\r"), None);
    assert_eq!(pages.page, Page::Disk);
    let said = pages.screen().remark;
    assert_eq!(
        said,
        "/dev/sdc cannot be chosen: it holds the install medium."
    );
    type_in(&mut pages, "^");
    assert_eq!(pages.screen().remark, "");
}

#[test]
fn numbers_of_two_digits_reach_every_disk_and_none_beyond() {
    let mut question = question();
    let one = question.candidates[0].clone();
    question.candidates = vec![one; 12];
    let mut pages = Pages::new(question);
    for (keys, row) in [
        ("1", 0),
        ("2", 11),
        ("3", 2),
        ("9", 8),
        ("0", 8),
        ("v1", 0),
        ("0", 9),
        ("1", 0),
        ("vv^5", 4),
    ] {
        type_in(&mut pages, keys);
        assert_eq!(pages.disk, row, "{keys}");
    }
    type_in(&mut pages, &"v".repeat(30));
    assert_eq!(pages.disk, 11);
    type_in(&mut pages, &"^".repeat(30));
    assert_eq!(pages.disk, 0);
}

#[test]
fn the_document_on_the_screen_is_the_one_that_is_installed() {
    let mut pages = Pages::new(question());
    type_in(&mut pages, "4\r1\r");
    let shown = pages.screen().document.join("\n");
    let document = type_in(&mut pages, "ERASE\r").unwrap();
    assert_eq!(document, format!("#cloud-config\n{shown}\n"));
}

#[test]
fn data_that_can_be_kept_are_asked_about_and_kept_by_one_key() {
    let typed = |text: &str| type_in(&mut Pages::new(question_with_ours(Mode::Fresh)), text);
    let document = typed("4\r2\r1\rY").unwrap();
    insta::assert_snapshot!(document, @r#"
    #cloud-config
    install:
      device: auto
      reboot: true
      poweroff: false
    landfall:
      mode: keep-data
      disk:
        serial: "VCGX5P2N"
    "#);
    for keys in [
        "4\r2\r1\r\r\r\r",
        "4\r2\r1\rERASE\r",
        "4\r2\rY",
        "4\r2Y",
        "4Y",
        "4\r\r\rY",
    ] {
        assert_eq!(typed(keys), None, "{keys:?}");
    }
    // Everything is erased where nothing else was said, and where the disk is another one in the end.
    for keys in ["4\r\r1\rERASE\r", "4\r2\r!!1\r\rERASE\r"] {
        assert!(!typed(keys).unwrap().contains("mode"), "{keys:?}");
    }
}

#[test]
fn escape_goes_back_over_the_page_about_the_data() {
    let mut pages = Pages::new(question_with_ours(Mode::Fresh));
    type_in(&mut pages, "4\r2\r1\r");
    for page in [Page::Afterwards, Page::Data, Page::Disk, Page::Disk] {
        type_in(&mut pages, "!");
        assert_eq!(pages.page, page);
    }
    assert_eq!((pages.disk, pages.data, pages.next), (3, 1, 0));
}

#[test]
fn where_the_user_data_say_what_stays_only_the_disk_is_asked_for_and_the_document_says_it_too() {
    for (mode, line) in [
        (Mode::KeepData, "\n  mode: keep-data\n"),
        (Mode::Repair, "\n  mode: repair\n"),
    ] {
        let mut pages = Pages::new(question_with_ours(mode));
        type_in(&mut pages, "4\r");
        assert_eq!(pages.page, Page::Afterwards);
        assert_eq!(type_in(&mut pages, "\rERASE\r"), None);
        let document = type_in(&mut pages, "y").unwrap();
        assert!(document.contains(line), "{document}");
    }
}

fn draw(pages: &Pages) -> String {
    drawn_choice(&pages.screen())
}

#[test]
fn the_pages_about_data_look_as_they_did() {
    let mut pages = Pages::new(question_with_ours(Mode::Fresh));
    type_in(&mut pages, "4\r2");
    insta::assert_snapshot!("data", draw(&pages));
    type_in(&mut pages, "\r1\r\r");
    insta::assert_snapshot!("confirm_keeping", draw(&pages));
    let mut pages = Pages::new(question_with_ours(Mode::Repair));
    insta::assert_snapshot!("disks_to_repair", draw(&pages));
    type_in(&mut pages, "4\r\r");
    insta::assert_snapshot!("confirm_repair", draw(&pages));
}

#[test]
fn every_page_looks_as_it_did() {
    let mut pages = Pages::new(question());
    insta::assert_snapshot!("disks", draw(&pages));
    type_in(&mut pages, "4\r1");
    insta::assert_snapshot!("afterwards", draw(&pages));
    type_in(&mut pages, "\rERA");
    insta::assert_snapshot!("confirm", draw(&pages));
    insta::assert_snapshot!(
        "confirm_in_lines",
        tui::PlainLog::new().choice(&pages.screen()).join("\n")
    );
}

#[test]
fn a_disk_that_says_nothing_about_itself_is_still_a_row() {
    let mut question = question();
    question.candidates[0].disk = disk("vda", 512, "", "");
    let screen = Pages::new(question).screen();
    assert_eq!(screen.choices[0].cells, ["/dev/vda", "  512 B", ""]);
}

proptest! {
    /// However keys are hit, nothing is erased without the word: a document that comes without it keeps the data.
    #[test]
    fn no_row_of_keys_without_the_word_erases(keys in "[0-9v^!<\r yYa-zA-DF-Z]{0,60}") {
        let mut pages = Pages::new(question_with_ours(Mode::Fresh));
        for key in keys.chars() {
            let document = type_in(&mut pages, &key.to_string());
            prop_assert!(document.is_none_or(|text| text.contains("mode: keep-data")));
            pages.screen();
        }
    }

    /// However keys are hit, a document comes only out of the word, and names a disk that can be chosen.
    #[test]
    fn no_row_of_keys_without_the_word_chooses(keys in "[0-9v^!<\r a-zA-DF-Z]{0,60}") {
        let mut pages = Pages::new(question());
        for key in keys.chars() {
            prop_assert_eq!(type_in(&mut pages, &key.to_string()), None);
            pages.screen();
        }
    }

    #[test]
    fn whatever_is_confirmed_can_be_chosen(keys in "[0-9v^!\r]{0,40}") {
        let mut pages = Pages::new(question());
        type_in(&mut pages, &keys);
        if type_in(&mut pages, "!!\r\rERASE\r").is_some() {
            prop_assert!(pages.candidate().unwrap().chosen_by.is_ok());
        }
    }
}
