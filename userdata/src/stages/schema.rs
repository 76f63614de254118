//! The keys of a step (`reference/kairos.md` 4).

use crate::schema::{Schema, Shape, Unknown, field, not_carried_out};

/// The stages of a host's life (`reference/palette.md` 1.9); each also with `.before` and `.after`.
pub(crate) const NAMES: &[&str] = &[
    "rootfs",
    "initramfs",
    "boot",
    "fs",
    "network",
    "reconcile",
    "before-install",
    "after-install",
    "after-install-chroot",
    "before-upgrade",
    "after-upgrade",
    "after-upgrade-chroot",
    "before-reset",
    "after-reset",
    "after-reset-chroot",
];

/// One step of a stage.
pub(crate) static STEP: Schema = Schema {
    fields: &[
        &[
            field("name", Shape::Text),
            field("if", Shape::Text),
            field("directories", Shape::Objects(&DIRECTORY)),
            field("files", Shape::Objects(&FILE)),
            field("commands", Shape::Texts),
            field("hostname", Shape::Text),
            field("users", Shape::Named(&USER)),
            field("authorized_keys", Shape::NamedTexts),
            field("environment", Shape::Scalars),
            field("environment_file", Shape::Text),
        ],
        CONDITIONS,
        &[
            not_carried_out("dns", Shape::Any),
            not_carried_out("downloads", Shape::Any),
            not_carried_out("git", Shape::Any),
            not_carried_out("ensure_entities", Shape::Any),
            not_carried_out("delete_entities", Shape::Any),
            not_carried_out("sysctl", Shape::Any),
            not_carried_out("modules", Shape::Any),
            not_carried_out("timesyncd", Shape::Any),
            not_carried_out("systemctl", Shape::Any),
            not_carried_out("systemd_firstboot", Shape::Any),
            not_carried_out("datasource", Shape::Any),
            not_carried_out("layout", Shape::Any),
            not_carried_out("package_pins", Shape::Any),
            not_carried_out("packages", Shape::Any),
            not_carried_out("unpack_images", Shape::Any),
            not_carried_out("after", Shape::Any),
        ],
    ],
    misplaced: &[],
    unknown: Unknown::Warned,
};

/// Conditions that this version cannot decide: a step with one of them does not run.
pub(crate) const CONDITIONS: &[crate::schema::Field] = &[
    not_carried_out("node", Shape::Any),
    not_carried_out("only_os", Shape::Any),
    not_carried_out("only_os_version", Shape::Any),
    not_carried_out("only_arch", Shape::Any),
    not_carried_out("only_service_manager", Shape::Any),
    not_carried_out("if_files", Shape::Any),
];

static FILE: Schema = Schema {
    fields: &[&[
        field("path", Shape::Text),
        field("permissions", Shape::Scalar),
        field("owner", Shape::Count),
        field("group", Shape::Count),
        field("ownerstring", Shape::Text),
        field("content", Shape::Text),
        field("encoding", Shape::Text),
    ]],
    misplaced: &[],
    unknown: Unknown::Warned,
};

static DIRECTORY: Schema = Schema {
    fields: &[&[
        field("path", Shape::Text),
        field("permissions", Shape::Scalar),
        field("owner", Shape::Count),
        field("group", Shape::Count),
    ]],
    misplaced: &[],
    unknown: Unknown::Warned,
};

const ACCOUNT: &[crate::schema::Field] = &[
    field("passwd", Shape::Text),
    field("ssh_authorized_keys", Shape::Texts),
    field("gecos", Shape::Text),
    field("homedir", Shape::Text),
    field("no_create_home", Shape::Bool),
    field("primary_group", Shape::Text),
    field("no_user_group", Shape::Bool),
    field("system", Shape::Bool),
    field("no_log_init", Shape::Bool),
    field("shell", Shape::Text),
    field("lock_passwd", Shape::Bool),
    field("uid", Shape::Scalar),
];

/// One of `stages.*[].users`.
pub(crate) static USER: Schema = Schema {
    fields: &[ACCOUNT, &[field("groups", Shape::Texts)]],
    misplaced: &[],
    unknown: Unknown::Warned,
};

/// One of the top-level `users`, as cloud-init writes them.
pub(crate) static LISTED_USER: Schema = Schema {
    fields: &[
        ACCOUNT,
        &[
            field("name", Shape::Text),
            field("groups", Shape::TextOrTexts),
            not_carried_out("sudo", Shape::Any),
        ],
    ],
    misplaced: &[],
    unknown: Unknown::Warned,
};
