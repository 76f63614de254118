//! The keys under `install` (`reference/palette.md` 1.8, `reference/kairos.md` 1.1).

use crate::schema::{Schema, Shape, field, not_carried_out, strict};

/// `install`.
pub(crate) static INSTALL: Schema = strict(&[&[
    field("auto", Shape::Bool, "Install without asking."),
    field(
        "device",
        Shape::Text,
        "The disk: `auto`, or a path such as `/dev/disk/by-id/nvme-x`.",
    ),
    field(
        "reboot",
        Shape::Bool,
        "The host starts again after the installation.",
    ),
    field(
        "poweroff",
        Shape::Bool,
        "The host is switched off after the installation; takes precedence over `reboot`.",
    ),
    field("nousers", Shape::Bool, "No administrator is wanted."),
    field(
        "bind_mounts",
        Shape::Texts,
        "Directories that persist; each is mounted from the persistent partition.",
    ),
    field(
        "ephemeral_mounts",
        Shape::Texts,
        "Directories that can be written to and are empty after each start.",
    ),
    field(
        "extra-dirs-rootfs",
        Shape::Texts,
        "Directories that are made in the read-only root.",
    ),
    field(
        "partitions",
        Shape::Object(&PARTITIONS),
        "Sizes of partitions.",
    ),
    field(
        "extra-partitions",
        Shape::Objects(&EXTRA_PARTITION),
        "More partitions, behind the others; the last one takes the rest of the disk.",
    ),
    field(
        "grub_options",
        Shape::Scalars,
        "Variables of the boot menu, such as `extra_cmdline`.",
    ),
    not_carried_out("source", Shape::Text, "Another image to install."),
    field("no-format", Shape::Bool, "Existing partitions are used."),
    not_carried_out(
        "force",
        Shape::Bool,
        "With `no-format`: installs over a running system.",
    ),
    not_carried_out("env", Shape::Any, "Environment of the installer."),
    not_carried_out("grub-entry-name", Shape::Text, "Title in the boot menu."),
    not_carried_out(
        "bundles",
        Shape::Any,
        "Bundles that are unpacked after the installation.",
    ),
    field(
        "encrypted_partitions",
        Shape::Texts,
        "Labels of filesystems that are encrypted.",
    ),
    not_carried_out(
        "skip_copy_kcrypt_plugin",
        Shape::Bool,
        "Kept for other programs.",
    ),
    not_carried_out("system", Shape::Any, "The image of the system."),
    not_carried_out(
        "recovery-system",
        Shape::Any,
        "The image of the recovery system.",
    ),
    not_carried_out("passive", Shape::Any, "The image of the second slot."),
    not_carried_out("ssh_hardening", Shape::Bool, "SSH takes keys only."),
    not_carried_out(
        "allow-insecure-registries",
        Shape::Bool,
        "Certificates of registries are not verified.",
    ),
    not_carried_out("firmware", Shape::Text, "`efi` or `bios`."),
    not_carried_out("part-table", Shape::Text, "`gpt`."),
    not_carried_out("cloud-init", Shape::Any, "More files for `/oem`."),
    not_carried_out("iso", Shape::Text, "Another medium to install from."),
    not_carried_out("tty", Shape::Text, "The console of the installer."),
    not_carried_out("skip-entries", Shape::Any, "Kept for other programs."),
]]);

static PARTITIONS: Schema = strict(&[&[
    field(
        "oem",
        Shape::Object(&PARTITION),
        "The partition of the configuration.",
    ),
    field(
        "recovery",
        Shape::Object(&PARTITION),
        "The partition of the recovery system.",
    ),
    field(
        "state",
        Shape::Object(&PARTITION),
        "The partition of the two slots.",
    ),
    field(
        "persistent",
        Shape::Object(&PARTITION),
        "The partition of the data; size 0 is the rest of the disk.",
    ),
    field(
        "efi",
        Shape::Object(&PARTITION),
        "The partition of the boot loader.",
    ),
]]);

/// Only `size` has an effect, in Kairos as here; names and labels are the contract of the disk.
static PARTITION: Schema = strict(&[&[
    field("size", Shape::Count, "Size in MiB."),
    field("fs", Shape::Text, "The filesystem."),
    not_carried_out("name", Shape::Text, "Name of the partition."),
    not_carried_out("partition_label", Shape::Text, "Name of the partition."),
    not_carried_out("label", Shape::Text, "Label of the filesystem."),
    not_carried_out("flags", Shape::Any, "Flags of the partition."),
    not_carried_out("uuid", Shape::Text, "Id of the partition."),
]]);

static EXTRA_PARTITION: Schema = strict(&[&[
    field("name", Shape::Text, "Name of the partition."),
    field("label", Shape::Text, "Label of the filesystem."),
    field("size", Shape::Count, "Size in MiB."),
    field("fs", Shape::Text, "The filesystem."),
]]);
