//! What GRUB shows on a medium, as text.
//!
//! A medium that stays in the machine is harmless: where GRUB finds an installed system, it starts that system unless
//! somebody chooses otherwise or the medium carries a `landfall.nonce` that the disk does not know.

use crate::bootloader::{DISK, NONCE, SYSTEM};
use crate::installed::REINSTALL;
use userdata::{Landfall, Mode};

/// How long somebody can choose before the installed system starts, in seconds.
const TO_START: u32 = 10;

/// How long somebody can choose before an install begins, in seconds.
const TO_INSTALL: u32 = 3;

/// Disks that are looked at: as many as a large storage server has. A number without a disk costs nothing.
const DISKS: u32 = 32;

/// Kernel arguments of the installer (`docs/interfaces.md`); the last console is `/dev/console`.
fn arguments(media_id: &str, verbosity: &str) -> String {
    format!(
        "rd.systemd.unit=landfall-install.target landfall.media={media_id} console=ttyS0,115200 console=tty1 \
         net.ifnames=1 panic=30 {verbosity} selinux=0"
    )
}

/// The file that makes a medium findable for GRUB: no other medium has it, not even a twin of another build.
pub(super) fn marker(media_id: &str) -> String {
    format!("/landfall/{media_id}.id")
}

/// `/boot/grub/grub.cfg` of a medium with user-data that say this of Landfall. Its nonce has letters, digits, `.`, `_` and
/// `-` only.
pub(super) fn render_menu(media_id: &str, wanted: &Landfall) -> String {
    let marker = marker(media_id);
    let quiet = arguments(media_id, "loglevel=4");
    let verbose = arguments(
        media_id,
        "loglevel=7 systemd.log_level=info systemd.show_status=true",
    );
    let start = format!(
        r#"# Made by "landfall media iso".
set timeout_style=menu

# GRUB came from this medium as a rule, so nothing is searched; a label is never trusted.
if [ ! -e {marker} ]; then
    search --no-floppy --file --set=root {marker}
fi
set medium="$root"

# UEFI shows its console on the serial port by itself. A machine without a serial port keeps its screen.
if [ "$grub_platform" != efi ]; then
    if serial --unit=0 --speed=115200; then
        terminal_input console serial
        terminal_output console serial
    fi
fi

function install {{
    echo "Starting the installer ..."
    set root="$medium"
    linux /boot/kernel {quiet} $1
    initrd /boot/initrd
}}

function install_verbose {{
    echo "Starting the installer ..."
    set root="$medium"
    linux /boot/kernel {verbose} $1
    initrd /boot/initrd
}}
"#
    );
    let systems = installed_systems(wanted.nonce.as_deref());
    format!("{start}{systems}{}", install_entries(wanted.mode))
}

/// The part of the menu that looks for installed systems and offers them.
fn installed_systems(nonce: Option<&str>) -> String {
    let numbers: Vec<String> = (0..DISKS).map(|number| number.to_string()).collect();
    let (numbers, nonce) = (numbers.join(" "), nonce.unwrap_or_default());
    format!(
        r#"
# Hands over to the menu of an installed disk, as GRUB on that disk itself does.
function start_installed {{
    echo "Starting the installed system on $1 ..."
    set root="$1"
    set prefix="($root)/grub2"
    configfile "$prefix/grub.cfg"
}}

# The boot file on the EFI system partition gets its name after everything else was written and verified, so
# a half-finished install does not count. An MBR has no such partition; there the menu is the last file. Disks come
# in the order of the firmware.
set nonce="{nonce}"
set default=
set known=
for number in {numbers}; do
    set disk="hd$number"
    set state=
    if [ -f "($disk,gpt5)/cOS/active.img" ]; then
        if [ -f "($disk,gpt2)/EFI/BOOT/BOOTX64.EFI" ]; then
            set state="$disk,gpt5"
        fi
    elif [ -f "($disk,msdos3)/cOS/active.img" ]; then
        set state="$disk,msdos3"
    fi
    if [ -n "$state" ]; then
        if [ -s "($state)/grub2/grub.cfg" ]; then
            set {SYSTEM}=
            set {DISK}=
            set {NONCE}=
            if [ -s "($state)/grub_oem_env" ]; then
                load_env --file "($state)/grub_oem_env" {SYSTEM} {DISK} {NONCE}
            fi
            # What a disk does not tell is not new.
            if [ -z "${SYSTEM}" -o "${NONCE}" = "$nonce" ]; then
                set known=yes
            fi
            set twin=
            if [ -n "$default" ]; then
                set twin="another "
            fi
            menuentry "Start the ${{twin}}installed system ${SYSTEM} ($disk, ${DISK})" --id "installed-$disk" "$state" {{
                start_installed "$2"
            }}
            if [ -z "$default" ]; then
                set default="installed-$disk"
            fi
        fi
    fi
done
"#
    )
}

/// The part of the menu that offers to install, and that decides what happens when nobody chooses.
fn install_entries(mode: Mode) -> String {
    let (does, keep) = match mode {
        Mode::Fresh => ("erases the disk", KEEP_ENTRY),
        Mode::KeepData | Mode::Repair => ("keeps the data", ""),
    };
    format!(
        r#"
if [ -z "$default" ]; then
    set default=install
    set timeout={TO_INSTALL}
    menuentry "Install this edge host" --id install {{
        install
    }}
    menuentry "Install with verbose messages" --id install-verbose {{
        install_verbose
    }}
else
    set timeout={TO_START}
    if [ -n "$nonce" -a -z "$known" ]; then
        # Without the word of the entries below: the installer, which sees all user-data, has the last word.
        set default=install
        set timeout={TO_INSTALL}
        menuentry "Install again, as a new landfall.nonce asks ({does})" --id install {{
            install
        }}
    fi
    menuentry "Install again ({does})" --id install-again {{
        install {REINSTALL}
    }}
{keep}    menuentry "Install again with verbose messages ({does})" --id install-verbose {{
        install_verbose {REINSTALL}
    }}
fi
"#
    )
}

/// Where the user-data do not say so already.
const KEEP_ENTRY: &str = r#"    menuentry "Install again and keep the data" --id install-keep {
        install landfall.reinstall=keep-data
    }
"#;

/// `grub.cfg` in the FAT image from which UEFI started GRUB: leads to the medium itself.
pub(super) fn render_efi_stub(media_id: &str) -> String {
    let marker = marker(media_id);
    format!(
        "search --no-floppy --file --set=root {marker}\n\
         set prefix=($root)/boot/grub\n\
         configfile ($root)/boot/grub/grub.cfg\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installed::REINSTALL_KEEPING;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn with_nonce(nonce: &str) -> Landfall {
        Landfall {
            nonce: Some(nonce.to_owned()),
            ..Landfall::default()
        }
    }

    #[test]
    fn an_entry_keeps_the_data_and_where_all_do_none_says_that_it_erases_them() {
        let menu = render_menu(ID, &Landfall::default());
        let entry = menu.split("--id install-keep {").nth(1).unwrap();
        let entry = entry.split('}').next().unwrap();
        assert_eq!(entry.trim(), format!("install {REINSTALL_KEEPING}"));
        for mode in [Mode::KeepData, Mode::Repair] {
            let wanted = Landfall {
                mode,
                ..Landfall::default()
            };
            let menu = render_menu(ID, &wanted);
            assert!(!menu.contains("erases the disk") && !menu.contains("install-keep"));
            assert!(menu.contains("Install again (keeps the data)"), "{menu}");
        }
    }

    #[test]
    fn the_installer_is_started_with_the_arguments_of_the_interface() {
        let menu = render_menu(ID, &Landfall::default());
        let line = "    linux /boot/kernel rd.systemd.unit=landfall-install.target \
                    landfall.media=00112233445566778899aabbccddeeff console=ttyS0,115200 console=tty1 \
                    net.ifnames=1 panic=30 loglevel=4 selinux=0 $1";
        assert_eq!(
            menu.lines().find(|line| line.contains(" linux ")),
            Some(line)
        );
        insta::assert_snapshot!(menu);
    }

    #[test]
    fn only_an_entry_that_somebody_chooses_says_that_it_was_chosen() {
        let menu = render_menu(ID, &with_nonce("2026-11"));
        let default = menu.split("--id install {").skip(1);
        for entry in default {
            let body = entry.split('}').next().unwrap();
            assert!(!body.contains(REINSTALL), "{body}");
        }
        let chosen = menu.split("--id install-again {").nth(1).unwrap();
        assert!(chosen.split('}').next().unwrap().contains(REINSTALL));
        assert!(menu.contains("set nonce=\"2026-11\"\n"));
    }

    #[test]
    fn grubs_own_parser_takes_the_menu() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("menu", render_menu(ID, &with_nonce("a.b_c-1"))),
            ("stub", render_efi_stub(ID)),
        ] {
            let path = dir.path().join(name);
            std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes())
                .unwrap();
            let argv = host::Argv::new("grub-script-check").arg(&path);
            host::Host::run(&mut host::Linux, &argv).unwrap();
        }
    }

    #[test]
    fn no_medium_is_found_by_its_label() {
        for text in [render_menu(ID, &Landfall::default()), render_efi_stub(ID)] {
            assert!(
                text.contains("--file --set=root /landfall/00112233445566778899aabbccddeeff.id")
            );
            assert!(!text.contains("label") || text.contains("a label is never trusted"));
            assert!(!text.contains("COS_LIVE"));
        }
    }
}
