//! Whether a disk is the one that `landfall.disk` describes.

use userdata::{DiskSelector, Transport as Asked};

use crate::machine::{Disk, Transport};

/// Whether the disk is all that is asked for.
pub(super) fn matches(selector: &DiskSelector, disk: &Disk) -> bool {
    let is =
        |wanted: &Option<String>, like: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(like);
    is(&selector.serial, &|serial| serial == disk.serial.trim())
        && is(&selector.wwn, &|wwn| same_wwn(wwn, &disk.wwn))
        && is(&selector.model, &|model| {
            like(model, &one_blank(&disk.model))
        })
        && selector.size.contains(disk.size)
        && selector
            .transport
            .is_none_or(|asked| bus(asked) == disk.transport)
}

/// Whether it says so plainly which disk is meant that also one that can be taken out may be.
pub(super) fn is_deliberate(selector: &DiskSelector) -> bool {
    selector.serial.is_some()
        || selector.wwn.is_some()
        || matches!(selector.transport, Some(Asked::Usb | Asked::Mmc))
}

fn bus(asked: Asked) -> Transport {
    match asked {
        Asked::Mmc => Transport::Mmc,
        Asked::Nvme => Transport::Nvme,
        Asked::Sas => Transport::Sas,
        Asked::Sata => Transport::Sata,
        Asked::Scsi => Transport::Scsi,
        Asked::Usb => Transport::Usb,
        Asked::Virtio => Transport::Virtio,
    }
}

/// Compares world wide names, which every program writes in a way of its own.
fn same_wwn(wanted: &str, found: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        let text = text.strip_prefix("wwn-").unwrap_or(&text);
        let kinds = ["0x", "naa.", "eui.", "nvme-"];
        let text = kinds
            .iter()
            .find_map(|kind| text.strip_prefix(kind))
            .unwrap_or(text);
        text.to_owned()
    };
    let found = plain(found);
    !found.is_empty() && plain(wanted) == found
}

/// Some drives fill their model with blanks.
fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `pattern` with `*` (any characters) and `?` (one) is all of `text`; upper case makes no difference.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star has to take one character more.
    let mut again = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, at)) = again else {
                    return false;
                };
                again = Some((star, at + 1));
                (p, t) = (star + 1, at + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_whole_model() {
        for (pattern, text, expected) in [
            ("Samsung*", "SAMSUNG MZVL2512", true),
            ("*980*", "Samsung SSD 980 PRO", true),
            ("Samsung", "Samsung SSD", false),
            ("S?D", "SSD", true),
            ("S?D", "SD", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**a", "ba", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} and {text}");
        }
    }

    #[test]
    fn a_world_wide_name_is_the_same_in_every_spelling() {
        for wanted in [
            "0x5002538E40A1B2C3",
            "naa.5002538e40a1b2c3",
            "wwn-0x5002538e40a1b2c3",
            "5002538e40a1b2c3",
        ] {
            assert!(same_wwn(wanted, "naa.5002538e40a1b2c3"), "{wanted}");
        }
        assert!(!same_wwn("naa.", ""));
        assert!(!same_wwn("naa.5002538e40a1b2c4", "naa.5002538e40a1b2c3"));
        assert!(same_wwn("eui.0025385b21404321", "eui.0025385b21404321"));
    }

    #[test]
    fn blanks_in_a_model_count_once() {
        assert_eq!(one_blank(" ATA   Example  "), "ATA Example");
    }
}
