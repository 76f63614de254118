//! What an installation puts on the EFI system partition, and the firmware's entry for it.

use partition::Partition;

use super::{Content, Inputs, Step};
use crate::nvram::{self, PartitionPath};
use crate::payload::Payload;

/// Temporary name of the boot file on the EFI system partition; firmware does not look for it.
pub const ESP_WAITING: &str = "/EFI/BOOT/BOOTX64.NEW";

/// The name firmware looks for (UEFI 2.10, section 3.5.1.1: removable media boot behaviour).
pub const ESP_BOOT: &str = "/EFI/BOOT/BOOTX64.EFI";

/// Everything on the EFI system partition, new; the boot file under its waiting name.
pub(super) fn fill_esp(payload: &Payload, esp_stub: &str, partition: u32) -> Step {
    let mut copies = vec![(ESP_SHIM.to_owned(), ESP_WAITING.to_owned())];
    copies.extend(esp_copies(payload).map(|(from, to, _)| (from.to_owned(), to.to_owned())));
    Step::FillEsp {
        partition,
        folders: ["/EFI", "/EFI/BOOT", "/EFI/debian"]
            .map(str::to_owned)
            .to_vec(),
        copies,
        files: ESP_STUBS
            .map(|(to, _)| (to.to_owned(), Content(esp_stub.as_bytes().to_vec())))
            .to_vec(),
    }
}

/// The firmware's entry for the EFI system partition. It comes before the boot file has its name: firmware goes on to the
/// next entry when there is no file.
pub(super) fn boot_entry(inputs: &Inputs<'_>, esp: &Partition) -> Option<Step> {
    let sector = u64::from(inputs.disk.sector).max(1);
    let partition = PartitionPath {
        number: esp.number,
        start: esp.start.get() / sector,
        blocks: esp.size.get() / sector,
        guid: esp.guid,
    };
    let known = inputs.entries?;
    let change = nvram::change(&known.entries, &partition, &known.alive)?;
    Some(Step::BootEntry { change })
}

/// The first program of the boot chain, which gets the name that firmware looks for.
pub(super) const ESP_SHIM: &str = "boot/shimx64.efi";

/// The other programs: path in the payload, path on the EFI system partition, name while one waits to replace another.
pub(super) fn esp_copies(
    payload: &Payload,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> + use<'_> {
    let all = [
        (
            "boot/grubx64.efi",
            "/EFI/BOOT/grubx64.efi",
            "/EFI/BOOT/GRUBX64.NEW",
        ),
        (
            "boot/mmx64.efi",
            "/EFI/BOOT/mmx64.efi",
            "/EFI/BOOT/MMX64.NEW",
        ),
    ];
    // Not every distribution has a MokManager.
    all.into_iter()
        .filter(|(from, _, _)| payload.manifest.file(from).is_some())
}

/// The configurations of GRUB on the EFI system partition, and their waiting names. Debian's signed GRUB reads its own
/// from EFI/debian; others from beside themselves.
pub(super) const ESP_STUBS: [(&str, &str); 2] = [
    ("/EFI/BOOT/grub.cfg", "/EFI/BOOT/GRUB.NEW"),
    ("/EFI/debian/grub.cfg", "/EFI/debian/GRUB.NEW"),
];
