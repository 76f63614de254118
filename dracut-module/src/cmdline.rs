//! The kernel command line: words to meaning.

use std::path::PathBuf;

/// Splits a kernel command line into words.
///
/// Double quotes keep blanks together and are dropped, wherever in the word they stand
/// (`Documentation/admin-guide/kernel-parameters.rst` of the kernel).
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            blank if blank.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// How file systems are checked before they are mounted (`fsck.mode=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fsck {
    /// Only those that ask for it (preen).
    #[default]
    Auto,
    /// Every one, even if clean.
    Force,
    /// None.
    Skip,
}

/// What the kernel command line says to the initramfs (`docs/interfaces.md`, kernel arguments).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootArgs {
    /// `landfall.state=`: PARTUUID of the state partition of the disk that GRUB booted from, in lower case.
    pub state_partuuid: Option<String>,
    /// `landfall.turn=`: what GRUB counted up on that disk.
    pub turn: Option<String>,
    /// `cos-img/filename=`: the wish, relative to the state partition; never the truth.
    pub wanted_image: Option<PathBuf>,
    /// `root=LABEL=`: label of the wanted slot.
    pub wanted_label: Option<String>,
    /// `stylus.registration`: the registration screen is to be shown.
    pub registration: bool,
    /// `landfall.recovery`: the installer runs from the recovery partition; nothing is assembled.
    pub recovery: bool,
    /// `kairos.reset`: an unattended reset; nothing is assembled.
    pub reset: bool,
    /// `fsck.mode=`.
    pub fsck: Fsck,
    /// `rd.cos.overlay=tmpfs:SIZE` or `rd.immucore.overlay=`: the SIZE.
    pub overlay_size: Option<String>,
    /// `rd.cos.mount=SOURCE:/path` or `rd.immucore.mount=`: further volumes, as written.
    pub volumes: Vec<String>,
}

impl BootArgs {
    /// Reads a command line. Unknown words belong to others and are passed over; of a repeated word the last counts.
    pub fn parse(line: &str) -> Self {
        let mut args = Self::default();
        for word in words(line) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word.as_str(), None),
            };
            args.take(key, value.filter(|value| !value.is_empty()));
        }
        args
    }

    fn take(&mut self, key: &str, value: Option<&str>) {
        match (key, value) {
            // udev and the kernel write PARTUUIDs in lower case, people do not.
            ("landfall.state", Some(id)) => self.state_partuuid = Some(id.to_ascii_lowercase()),
            ("landfall.turn", Some(turn)) => self.turn = Some(turn.to_owned()),
            ("cos-img/filename", Some(file)) => self.wanted_image = Some(file.into()),
            ("root", Some(root)) => {
                self.wanted_label = root.strip_prefix("LABEL=").map(str::to_owned);
            }
            ("stylus.registration", _) => self.registration = true,
            ("landfall.recovery", _) => self.recovery = true,
            ("kairos.reset", _) => self.reset = true,
            ("fsck.mode", Some("force")) => self.fsck = Fsck::Force,
            ("fsck.mode", Some("skip")) => self.fsck = Fsck::Skip,
            ("fsck.mode", Some("auto")) => self.fsck = Fsck::Auto,
            ("rd.cos.overlay" | "rd.immucore.overlay", Some(overlay)) => {
                self.overlay_size = overlay.strip_prefix("tmpfs:").map(str::to_owned);
            }
            ("rd.cos.mount" | "rd.immucore.mount", Some(volume)) => {
                self.volumes.push(volume.to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks_together_and_disappear() {
        let table: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("  a  b\n", &["a", "b"]),
            ("x=\"a b\" c", &["x=a b", "c"]),
            ("\"x=a b\" c", &["x=a b", "c"]),
            ("x=a\" \"b", &["x=a b"]),
            ("open=\"to the end", &["open=to the end"]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn the_command_line_of_an_installed_system_is_understood() {
        let args = BootArgs::parse(
            "BOOT_IMAGE=(loop0)/boot/vmlinuz root=LABEL=COS_PASSIVE cos-img/filename=/cOS/passive.img \
             landfall.state=0FC63DAF-8483-4772-8E79-3D69D8477DE4 landfall.turn=07 rd.cos.oemlabel=COS_OEM panic=5 \
             stylus.registration fsck.mode=force rd.cos.overlay=tmpfs:20% rd.cos.mount=LABEL=DATA:/data quiet\n",
        );
        assert_eq!(
            args,
            BootArgs {
                state_partuuid: Some("0fc63daf-8483-4772-8e79-3d69d8477de4".into()),
                turn: Some("07".into()),
                wanted_image: Some("/cOS/passive.img".into()),
                wanted_label: Some("COS_PASSIVE".into()),
                registration: true,
                recovery: false,
                reset: false,
                fsck: Fsck::Force,
                overlay_size: Some("20%".into()),
                volumes: vec!["LABEL=DATA:/data".into()],
            }
        );
    }

    #[test]
    fn words_that_only_look_alike_change_nothing() {
        let args = BootArgs::parse(
            "landfall.stateful=1 xlandfall.recovery note=kairos.reset landfall.state= root=/dev/vda",
        );
        assert_eq!(args, BootArgs::default());
    }
}
