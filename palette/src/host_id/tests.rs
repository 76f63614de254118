//! IDs and refusals.

use super::*;

const UUID: &str = "03163342-F7F0-E6FE-20DE-095ED8548C93";

fn id(name: Option<&str>, prefix: Option<&str>, uuid: Option<&str>) -> Result<String, HostIdError> {
    let wish = Wish {
        name,
        prefix,
        ..Wish::default()
    };
    host_id(wish, uuid, || 0xabc).map(|id| id.to_string())
}

#[test]
fn the_id_comes_from_the_name_or_from_prefix_and_uuid() {
    let hex = "edge-03163342f7f0e6fe20de095ed8548c93";
    for (name, prefix, uuid, wanted) in [
        (None, None, Some(UUID), hex),
        (None, None, Some("03163342f7f0e6fe20de095ed8548c93\n"), hex),
        (Some(""), Some(" "), Some(UUID), hex),
        (
            None,
            Some("plant-7"),
            Some(UUID),
            "plant-7-03163342f7f0e6fe20de095ed8548c93",
        ),
        (Some("edge-kiosk_4"), Some("x"), Some(UUID), "edge-kiosk_4"),
        (Some("Edge-A"), None, None, "Edge-A"),
        (
            Some("$random"),
            None,
            None,
            "edge-00000000000000000000000000000abc",
        ),
        (
            Some("$random"),
            Some("lab"),
            Some(UUID),
            "lab-00000000000000000000000000000abc",
        ),
    ] {
        assert_eq!(
            id(name, prefix, uuid).as_deref(),
            Ok(wanted),
            "{name:?} {prefix:?} {uuid:?}"
        );
    }
}

#[test]
fn a_uuid_that_many_machines_share_is_refused_with_its_reason() {
    for (uuid, reason) in [
        ("00000000-0000-0000-0000-000000000000", "it is all zeroes"),
        ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "it is all ones"),
        ("Not Settable", "the firmware says that it was never set"),
        ("Not Present", "the firmware says that it was never set"),
        (
            "03000200-0400-0500-0006-000700080009",
            "it is the firmware vendor's sample value, which many machines share",
        ),
        (
            "00020003-0004-0005-0006-000700080009",
            "it is the firmware vendor's sample value, which many machines share",
        ),
        ("", "it is not 32 hexadecimal digits"),
        (
            "03163342-F7F0-E6FE-20DE-095ED8548C9",
            "it is not 32 hexadecimal digits",
        ),
        (
            "g3163342-F7F0-E6FE-20DE-095ED8548C93",
            "it is not 32 hexadecimal digits",
        ),
    ] {
        let wanted = HostIdError::UnusableUuid {
            uuid: uuid.to_owned(),
            reason,
        };
        assert_eq!(id(None, None, Some(uuid)), Err(wanted));
    }
    assert_eq!(id(None, None, None), Err(HostIdError::NoUuid));
}

#[test]
fn each_forbidden_character_is_named() {
    assert_eq!(FORBIDDEN.chars().count(), 26);
    for character in FORBIDDEN.chars().chain([' ', '\u{7}']) {
        let name = format!("a{character}b");
        assert_eq!(
            id(Some(&name), None, None),
            Err(HostIdError::Character { name, character })
        );
    }
    let error = HostIdError::Prefix {
        prefix: "a_b".to_owned(),
        character: '_',
    };
    assert_eq!(id(None, Some("a_b"), Some(UUID)), Err(error));
}

#[test]
fn an_id_of_128_bytes_is_the_longest() {
    let longest = "a".repeat(128);
    assert_eq!(id(Some(&longest), None, None), Ok(longest.clone()));
    let error = Err(HostIdError::TooLong { length: 129 });
    assert_eq!(id(Some(&format!("{longest}a")), None, None), error);
    assert_eq!(id(None, Some(&"p".repeat(96)), Some(UUID)), error);
}

#[test]
fn the_reader_trims_what_the_kernel_prints() {
    let file = tempfile::NamedTempFile::new().unwrap();
    io::Write::write_all(&mut file.as_file(), b"ABC\n").unwrap();
    assert_eq!(read_product_uuid(file.path()).unwrap(), "ABC");
    assert!(read_product_uuid(Path::new("/nonexistent/uuid")).is_err());
}

#[test]
fn what_a_file_gives_is_the_whole_id_and_comes_behind_the_name() {
    let id = |name, device| {
        let wish = Wish {
            name,
            device: Some(device),
            prefix: Some("x"),
        };
        host_id(wish, Some(UUID), || 0xabc).map(|id| id.to_string())
    };
    assert_eq!(id(None, " edge-7 ").as_deref(), Ok("edge-7"));
    assert_eq!(id(Some("by-hand"), "edge-7").as_deref(), Ok("by-hand"));
    let generated = "x-03163342f7f0e6fe20de095ed8548c93";
    assert_eq!(id(None, " ").as_deref(), Ok(generated));
    // Only the user-data may ask for a random one.
    assert_eq!(id(None, "$random").unwrap_err().code(), "LF-P41");
}
