//! Text that GRUB reads: the environment block.
//!
//! `grub.cfg`, `bootargs.cfg` and the stub of the EFI system partition are files of the provider image; what differs
//! from host to host stands in environment blocks, and those are written here.

use std::fmt;

/// Size of a GRUB environment block in bytes (GRUB's `grub-editenv` and `save_env` accept no other).
pub const ENV_SIZE: usize = 1024;

/// Variable in `grub_oem_env` of the state partition: version of the system that was installed. The menu of an install
/// medium shows it; where it is missing, a disk does not tell what it knows of [`NONCE`].
pub const SYSTEM: &str = "landfall_system";

/// Variable in `grub_oem_env`: size and serial number of the disk, for people who choose between two.
pub const DISK: &str = "landfall_disk";

/// Variable in `grub_oem_env`: the `landfall.nonce` of the user-data that was installed; empty without one.
pub const NONCE: &str = "landfall_nonce";

/// Variable in `grub_oem_env`: four digits, of which GRUB counts the last two up at every start, see [`sysroot::turn`].
pub const TURN: &str = sysroot::turn::VARIABLE;

/// What it is before the first start.
pub const FIRST_TURN: &str = "0000";

/// Longest value for a line of a menu, in bytes.
const LONGEST: usize = 40;

/// A value for a line of a menu: what a drive or an image says of itself can be anything, so only what a menu can show is
/// kept.
pub fn for_menu(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    text.chars().filter(plain).take(LONGEST).collect()
}

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// A variable that cannot stand in an environment block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvError {
    /// The name is empty or has a character other than letters, digits and `_`.
    Name(String),
    /// The value of this variable has a control character.
    Value(String),
    /// The block would be longer than [`ENV_SIZE`]; the length it would have.
    TooLong(usize),
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}` is not a name for a GRUB variable"),
            Self::Value(name) => write!(f, "the value of `{name}` has a control character"),
            Self::TooLong(length) => {
                write!(
                    f,
                    "the GRUB environment would be {length} bytes long; {ENV_SIZE} are possible"
                )
            }
        }
    }
}

impl std::error::Error for EnvError {}

/// Renders an environment block: signature, `name=value` lines, `#` up to [`ENV_SIZE`].
///
/// A backslash in a value is doubled, as GRUB's `lib/envblk.c` expects; line breaks are refused.
pub fn render_env<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>, EnvError> {
    let mut text = SIGNATURE.to_owned();
    for (name, value) in variables {
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(EnvError::Name(name.to_owned()));
        }
        if value.chars().any(char::is_control) {
            return Err(EnvError::Value(name.to_owned()));
        }
        text.push_str(name);
        text.push('=');
        text.push_str(&value.replace('\\', "\\\\"));
        text.push('\n');
    }
    if text.len() > ENV_SIZE {
        return Err(EnvError::TooLong(text.len()));
    }
    let mut block = text.into_bytes();
    block.resize(ENV_SIZE, b'#');
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_signature_its_variables_and_exactly_its_size() {
        let block = render_env([("saved_entry", "registration"), ("path", "a\\b")]).unwrap();
        assert_eq!(block.len(), ENV_SIZE);
        let text = String::from_utf8(block).unwrap();
        assert!(
            text.starts_with(
                "# GRUB Environment Block\nsaved_entry=registration\npath=a\\\\b\n####"
            )
        );
        assert!(text.ends_with('#'));
    }

    #[test]
    fn what_a_drive_says_of_itself_never_breaks_the_block_or_a_line_of_the_menu() {
        let text = for_menu(&"Ö\n\u{7f}disk \\\"$x\" ".repeat(40));
        assert!(text.len() <= 40 && text.starts_with("disk"), "{text}");
        assert!(render_env([(SYSTEM, text.as_str())]).is_ok());
    }

    #[test]
    fn what_would_break_the_block_is_refused_by_name() {
        assert_eq!(
            render_env([("a-b", "1")]),
            Err(EnvError::Name("a-b".into()))
        );
        assert_eq!(
            render_env([("a", "1\n2")]),
            Err(EnvError::Value("a".into()))
        );
        let long = "x".repeat(1024);
        assert_eq!(
            render_env([("a", long.as_str())]),
            Err(EnvError::TooLong(25 + 2 + 1024 + 1))
        );
    }

    #[test]
    fn grubs_own_tool_reads_the_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grubenv");
        let block =
            render_env([("saved_entry", "registration"), ("extra_cmdline", "a=b c")]).unwrap();
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &block).unwrap();
        let argv = host::Argv::new("grub-editenv").arg(&path).arg("list");
        let said = host::Host::run(&mut host::Linux, &argv).unwrap().stdout;
        assert_eq!(said, "saved_entry=registration\nextra_cmdline=a=b c\n");
    }
}
