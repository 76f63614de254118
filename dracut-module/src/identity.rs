//! The machine-id: made at the first boot, kept outside of every image.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use host::files::write_synced;

/// Gives `written` (`/etc/machine-id` of the new root) the id kept in `kept`; makes a new one if there is none or what
/// is there is torn.
///
/// An id is 32 lower-case hex digits and a newline (machine-id(5)), never all zeroes.
pub(crate) fn restore_machine_id(kept: &Path, written: &Path) -> Result<()> {
    let found = fs::read_to_string(kept).ok();
    let id = if let Some(id) = found.as_deref().and_then(valid) {
        id.to_owned()
    } else {
        let id = render(random()?);
        if let Some(folder) = kept.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        write_synced(kept, format!("{id}\n").as_bytes(), 0o444)?;
        id
    };
    write_synced(written, format!("{id}\n").as_bytes(), 0o444)
}

fn valid(text: &str) -> Option<&str> {
    let id = text.trim_end();
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (id.len() == 32 && id.bytes().all(hex) && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(bytes)
}

/// A version 4 UUID without dashes, as systemd makes them.
fn render(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn an_id_is_made_once_and_given_at_every_boot() {
        let tree = Tree::new();
        let (kept, written) = (tree.at("local/etc/machine-id"), tree.at("machine-id"));
        restore_machine_id(&kept, &written).unwrap();
        let first = fs::read_to_string(&written).unwrap();
        assert_eq!(valid(&first), Some(first.trim_end()));
        restore_machine_id(&kept, &written).unwrap();
        assert_eq!(fs::read_to_string(&written).unwrap(), first);
        assert_eq!(fs::read_to_string(&kept).unwrap(), first);
    }

    #[test]
    fn a_torn_id_is_replaced() {
        for torn in [
            "",
            "0123",
            "uninitialized\n",
            "00000000000000000000000000000000\n",
        ] {
            let tree = Tree::new();
            tree.file("kept", torn.as_bytes());
            restore_machine_id(&tree.at("kept"), &tree.at("written")).unwrap();
            let id = fs::read_to_string(tree.at("written")).unwrap();
            assert!(valid(&id).is_some(), "{torn:?}");
        }
    }

    #[test]
    fn the_version_and_variant_bits_are_those_of_a_random_uuid() {
        assert_eq!(render([0xff; 16]), "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(render([0; 16]), "00000000000040008000000000000000");
    }
}
