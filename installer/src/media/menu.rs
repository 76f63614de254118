//! What GRUB shows on a medium, as text.

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

/// `/boot/grub/grub.cfg` of a medium.
pub(super) fn render_menu(media_id: &str) -> String {
    let marker = marker(media_id);
    let quiet = arguments(media_id, "loglevel=4");
    let verbose = arguments(
        media_id,
        "loglevel=7 systemd.log_level=info systemd.show_status=true",
    );
    format!(
        r#"# Made by "landfall media iso".
set default=0
set timeout=3
set timeout_style=menu

# GRUB came from this medium as a rule, so nothing is searched; a label is never trusted.
if [ ! -e {marker} ]; then
    search --no-floppy --file --set=root {marker}
fi

# UEFI shows its console on the serial port by itself. A machine without a serial port keeps its screen.
if [ "$grub_platform" != efi ]; then
    if serial --unit=0 --speed=115200; then
        terminal_input console serial
        terminal_output console serial
    fi
fi

menuentry "Install this edge host" --id install {{
    echo "Starting the installer ..."
    linux /boot/kernel {quiet}
    initrd /boot/initrd
}}

menuentry "Install with verbose messages" --id install-verbose {{
    echo "Starting the installer ..."
    linux /boot/kernel {verbose}
    initrd /boot/initrd
}}
"#
    )
}

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

    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn the_default_entry_starts_the_installer_with_the_arguments_of_the_interface() {
        let menu = render_menu(ID);
        let line = "    linux /boot/kernel rd.systemd.unit=landfall-install.target \
                    landfall.media=00112233445566778899aabbccddeeff console=ttyS0,115200 console=tty1 \
                    net.ifnames=1 panic=30 loglevel=4 selinux=0";
        assert_eq!(
            menu.lines().find(|line| line.contains(" linux ")),
            Some(line)
        );
        assert_eq!(menu.matches("menuentry ").count(), 2);
    }

    #[test]
    fn no_medium_is_found_by_its_label() {
        for text in [render_menu(ID), render_efi_stub(ID)] {
            assert!(
                text.contains("--file --set=root /landfall/00112233445566778899aabbccddeeff.id")
            );
            assert!(!text.contains("label") || text.contains("a label is never trusted"));
            assert!(!text.contains("COS_LIVE"));
        }
    }
}
