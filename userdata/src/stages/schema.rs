//! The keys of a step (`reference/kairos.md` 4).

use super::account_schema::USER;
use crate::schema::{Field, Schema, Shape, field, not_carried_out, refused, tolerant};

/// The stages of a host's life (`reference/palette.md` 1.9), and when each runs; each also with `.before` and `.after`.
pub(crate) const NAMES: &[(&str, &str)] = &[
    (
        "rootfs",
        "In the initramfs, while the root is put together.",
    ),
    (
        "initramfs",
        "In the initramfs, with the root complete; the place for users.",
    ),
    ("boot", "When the system has started its services."),
    ("fs", "When the filesystems are mounted."),
    ("network", "When the network is up."),
    (
        "reconcile",
        "Five minutes after the start, then every hour.",
    ),
    (
        "before-install",
        "In an installation, when the filesystems are made and before the system is written.",
    ),
    (
        "after-install",
        "At the end of an installation, outside of the new system.",
    ),
    (
        "after-install-chroot",
        "At the end of an installation, inside the new system.",
    ),
    ("before-upgrade", "Before an upgrade writes anything."),
    (
        "after-upgrade",
        "After an upgrade, outside of the new system.",
    ),
    (
        "after-upgrade-chroot",
        "After an upgrade, inside the new system.",
    ),
    ("before-reset", "Before a reset writes anything."),
    (
        "after-reset",
        "At the end of a reset, outside of the new system.",
    ),
    (
        "after-reset-chroot",
        "At the end of a reset, inside the new system.",
    ),
];

/// Whether there is a stage of this name, `.before` and `.after` included.
pub(crate) fn is_stage(name: &str) -> bool {
    let base = base(name);
    NAMES.iter().any(|(known, _)| *known == base)
}

/// The name of a stage without `.before` or `.after`.
pub(crate) fn base(name: &str) -> &str {
    name.strip_suffix(".before")
        .or_else(|| name.strip_suffix(".after"))
        .unwrap_or(name)
}

/// One step of a stage.
pub(crate) static STEP: Schema = tolerant(&[
    &[
        field(
            "name",
            Shape::Text,
            "Name for logs. Steps named `skip-copy-*` do not reach the disk.",
        ),
        field(
            "if",
            Shape::Text,
            "A shell test; the step runs if it succeeds.",
        ),
    ],
    CONDITIONS,
    &[
        field("dns", Shape::Object(&DNS), "Writes `resolv.conf`."),
        field(
            "downloads",
            Shape::Objects(&DOWNLOAD),
            "Files to be fetched; the certificate of the server is verified.",
        ),
        refused(
            "git",
            "put the files into the image or into `files`",
            "A repository to be fetched.",
        ),
        field(
            "ensure_entities",
            Shape::Objects(&ENTITY),
            "Entries that `passwd`, `group` and `shadow` must have.",
        ),
        field(
            "directories",
            Shape::Objects(&DIRECTORY),
            "Directories to be made.",
        ),
        field("files", Shape::Objects(&FILE), "Files to be written."),
        field(
            "commands",
            Shape::Texts,
            "Shell texts, run one after another.",
        ),
        field(
            "delete_entities",
            Shape::Objects(&ENTITY),
            "Entries that `passwd`, `group` and `shadow` must not have.",
        ),
        field(
            "hostname",
            Shape::Text,
            "Name of the host; may have values, as in `node-{{ trunc 8 .MachineID }}`.",
        ),
        field(
            "sysctl",
            Shape::Scalars,
            "Parameters of the kernel, by name; set at once and for the rest of this boot.",
        ),
        field("users", Shape::Named(&USER), "Users, by name."),
        field(
            "authorized_keys",
            Shape::NamedTexts,
            "SSH keys, by user; `github:name`, `gitlab:name` and `https://` addresses are fetched.",
        ),
        field(
            "modules",
            Shape::Texts,
            "Kernel modules to be loaded, each with its parameters, if any: `nbd max_part=8`.",
        ),
        field(
            "timesyncd",
            Shape::Scalars,
            "Settings of `timesyncd.conf`, by name.",
        ),
        field(
            "systemctl",
            Shape::Object(&SYSTEMCTL),
            "What becomes of units.",
        ),
        field("environment", Shape::Scalars, "Variables, by name."),
        field(
            "environment_file",
            Shape::Text,
            "Where `environment` is written; `/etc/environment` if absent.",
        ),
        field(
            "systemd_firstboot",
            Shape::Scalars,
            "Settings of `systemd-firstboot`, by name.",
        ),
        field(
            "datasource",
            Shape::Object(&DATASOURCE),
            "Where more user-data is looked for.",
        ),
        field(
            "layout",
            Shape::Object(&LAYOUT),
            "Partitions to be added, and the growth of the last one.",
        ),
        refused("package_pins", PACKAGES, "Versions of packages."),
        refused("packages", PACKAGES, "Packages to be installed."),
        refused("unpack_images", IMAGES, "Container images to be unpacked."),
        field(
            "after",
            Shape::Objects(&AFTER),
            "Steps that come before this one.",
        ),
    ],
]);

const PACKAGES: &str = "put the packages into the provider image; its root is read-only";
const IMAGES: &str = "put the content into the provider image or a content bundle";

/// What must hold for a step beside its `if`.
const CONDITIONS: &[Field] = &[
    field("node", Shape::Text, "Expression for the name of the host."),
    field(
        "only_os",
        Shape::Text,
        "Expression for `PRETTY_NAME` or `ID` of `os-release`.",
    ),
    field(
        "only_os_version",
        Shape::Text,
        "Expression for `VERSION_ID` of `os-release`.",
    ),
    field(
        "only_arch",
        Shape::Text,
        "Expression for the architecture, such as `amd64`.",
    ),
    field(
        "only_service_manager",
        Shape::Choice(SERVICE_MANAGERS),
        "The service manager that the system must have.",
    ),
    field(
        "if_files",
        Shape::Object(&IF_FILES),
        "Files that must be there or not.",
    ),
];

pub(super) const SERVICE_MANAGERS: &[&str] = &["systemd", "openrc"];

static IF_FILES: Schema = tolerant(&[&[
    field("any", Shape::Texts, "One of these must be there."),
    field("all", Shape::Texts, "Each of these must be there."),
    field("none", Shape::Texts, "None of these may be there."),
]]);

static DNS: Schema = tolerant(&[&[
    field("nameservers", Shape::Texts, "Addresses of the servers."),
    field("search", Shape::Texts, "Domains that are searched."),
    field("options", Shape::Texts, "Options of the resolver."),
    field(
        "path",
        Shape::Text,
        "The file; `/etc/resolv.conf` if absent.",
    ),
]]);

static DOWNLOAD: Schema = tolerant(&[&[
    field(
        "path",
        Shape::Text,
        "Where the file is written; a folder if it ends with `/`.",
    ),
    field("url", Shape::Text, "Where it is fetched from."),
    field("permissions", Shape::Scalar, "Mode, such as `0644`."),
    field("owner", Shape::Count, "Id of the user."),
    field("group", Shape::Count, "Id of the group."),
    field(
        "ownerstring",
        Shape::Text,
        "`user` or `user:group` by name.",
    ),
    field(
        "timeout",
        Shape::Count,
        "Seconds that it may take, attempts and pauses included; 600 if absent.",
    ),
]]);

static ENTITY: Schema = tolerant(&[&[
    field(
        "path",
        Shape::Text,
        "`/etc/passwd`, `/etc/shadow`, `/etc/group` or `/etc/gshadow`; the kind says so anyway.",
    ),
    field(
        "entity",
        Shape::Text,
        "The line, as YAML: `kind` (`user`, `shadow`, `group`, `gshadow`), the name, and its fields.",
    ),
]]);

static SYSTEMCTL: Schema = tolerant(&[&[
    field("enable", Shape::Texts, "Units that start with the system."),
    field(
        "disable",
        Shape::Texts,
        "Units that do not start with the system.",
    ),
    field(
        "start",
        Shape::Texts,
        "Units that start now; not in the initramfs.",
    ),
    field("mask", Shape::Texts, "Units that cannot start."),
    field("overrides", Shape::Objects(&OVERRIDE), "Drop-ins of units."),
]]);

static OVERRIDE: Schema = tolerant(&[&[
    field("service", Shape::Text, "The unit."),
    field(
        "name",
        Shape::Text,
        "Name of the drop-in; `override-yip.conf` if absent.",
    ),
    field("content", Shape::Text, "The drop-in."),
]]);

static DATASOURCE: Schema = tolerant(&[&[
    field(
        "providers",
        Shape::Texts,
        "`cdrom` is a medium with the label `cidata`, `file` is the file in `path`. Others are not asked.",
    ),
    field(
        "path",
        Shape::Text,
        "Folder into which the user-data is written; `/run/config` if absent.",
    ),
    field(
        "userdata_name",
        Shape::Text,
        "Name of the file in it; `userdata.yaml` if absent.",
    ),
]]);

static LAYOUT: Schema = tolerant(&[&[
    field("device", Shape::Object(&LAYOUT_DEVICE), "The disk."),
    field(
        "expand_partition",
        Shape::Object(&EXPAND),
        "Makes the last partition larger.",
    ),
    field(
        "add_partitions",
        Shape::Objects(&ADD_PARTITION),
        "Partitions to be added.",
    ),
]]);

static LAYOUT_DEVICE: Schema = tolerant(&[&[
    field(
        "label",
        Shape::Text,
        "The disk that has a filesystem of this label.",
    ),
    field("path", Shape::Text, "Path of the disk."),
    field("disk_name", Shape::Text, "Name of the disk."),
    not_carried_out("init_disk", Shape::Bool, "It gets a new partition table."),
]]);

static EXPAND: Schema = tolerant(&[&[field(
    "size",
    Shape::Count,
    "Its new size in MiB; 0 is all that is free.",
)]]);

static ADD_PARTITION: Schema = tolerant(&[&[
    field("fsLabel", Shape::Text, "Label of the filesystem."),
    field("pLabel", Shape::Text, "Name of the partition."),
    field("size", Shape::Count, "Size in MiB; 0 is all that is free."),
    field("filesystem", Shape::Text, "The filesystem."),
    field(
        "bootable",
        Shape::Bool,
        "The partition can be started from.",
    ),
]]);

static AFTER: Schema = tolerant(&[&[field(
    "name",
    Shape::Text,
    "The step, as `<file>.<step>`; the file may go by its `name`.",
)]]);

static FILE: Schema = tolerant(&[&[
    field("path", Shape::Text, "Where it is written."),
    field("permissions", Shape::Scalar, "Mode, such as `0644`."),
    field("owner", Shape::Count, "Id of the user."),
    field("group", Shape::Count, "Id of the group."),
    field(
        "ownerstring",
        Shape::Text,
        "`user` or `user:group` by name.",
    ),
    field("content", Shape::Text, "What it holds. May be a secret."),
    field(
        "encoding",
        Shape::Choice(ENCODINGS),
        "How the content is written; as it is if absent.",
    ),
]]);

/// Every spelling of an encoding; bare `gz` is none, since compressed bytes cannot stand in a text.
pub(super) const ENCODINGS: &[&str] = &[
    "",
    "text/plain",
    "b64",
    "base64",
    "gz+base64",
    "gzip+base64",
    "gz+b64",
    "gzip+b64",
];

static DIRECTORY: Schema = tolerant(&[&[
    field("path", Shape::Text, "Where it is made."),
    field("permissions", Shape::Scalar, "Mode, such as `0755`."),
    field("owner", Shape::Count, "Id of the user."),
    field("group", Shape::Count, "Id of the group."),
]]);
