//! The keys of users, wherever they are listed, and of cloud-init's files and disks.

use super::schema::ENCODINGS;
use crate::schema::{Field, Schema, Shape, field, not_carried_out, refused, tolerant};

const ACCOUNT: &[Field] = &[
    field(
        "passwd",
        Shape::Text,
        "Hash of the password; a clear text is hashed on the host.",
    ),
    field(
        "ssh_authorized_keys",
        Shape::Texts,
        "SSH keys; `github:name`, `gitlab:name` and URLs are fetched.",
    ),
    field("gecos", Shape::Text, "Full name."),
    field("homedir", Shape::Text, "Home directory."),
    field("no_create_home", Shape::Bool, "No home directory is made."),
    field("primary_group", Shape::Text, "Primary group."),
    field(
        "no_user_group",
        Shape::Bool,
        "No group of the user's own is made.",
    ),
    field(
        "system",
        Shape::Bool,
        "The id comes from the range of the system.",
    ),
    field("no_log_init", Shape::Bool, "Kept for other programs."),
    field("shell", Shape::Text, "Login shell."),
    field("lock_passwd", Shape::Bool, "No login by password."),
    field("uid", Shape::Scalar, "Id of the user."),
];

/// One of `stages.*[].users`.
pub(super) static USER: Schema = tolerant(&[
    ACCOUNT,
    &[field(
        "groups",
        Shape::Texts,
        "Groups beside the primary one.",
    )],
]);

/// What a user has where the list of users is cloud-init's.
const LISTED: &[Field] = &[
    field("name", Shape::Text, "Name of the user."),
    field(
        "groups",
        Shape::TextOrTexts,
        "Groups beside the primary one, as a list or separated by commas.",
    ),
];

/// One of the top-level `users`, as cloud-init writes them.
pub(crate) static LISTED_USER: Schema = tolerant(&[
    ACCOUNT,
    LISTED,
    &[
        field(
            "plain_text_passwd",
            Shape::Text,
            "The password in clear text.",
        ),
        field("hashed_passwd", Shape::Text, "Hash of the password."),
        not_carried_out("sudo", Shape::Any, "Rules of sudo."),
    ],
]);

/// One of `stylus.site.users`.
pub(crate) static SITE_USER: Schema = tolerant(&[
    ACCOUNT,
    LISTED,
    &[
        field(
            "plain_text_passwd",
            Shape::Text,
            "The password in clear text.",
        ),
        field("hashed_passwd", Shape::Text, "Hash of the password."),
        not_carried_out(
            "passwordExpiry",
            Shape::Text,
            "Day on which the password ends, as `2027-12-31`.",
        ),
    ],
]);

/// One of the top-level `write_files`.
pub(crate) static WRITE_FILE: Schema = tolerant(&[&[
    field("path", Shape::Text, "Where it is written."),
    field("content", Shape::Text, "What it holds. May be a secret."),
    field("owner", Shape::Text, "`user` or `user:group` by name."),
    field("permissions", Shape::Scalar, "Mode, such as `0644`."),
    field(
        "encoding",
        Shape::Choice(ENCODINGS),
        "How the content is written.",
    ),
    refused(
        "append",
        "use a command under `runcmd`",
        "Adds to the file instead of writing it.",
    ),
    not_carried_out("defer", Shape::Bool, "Writes it later."),
]]);

/// The top-level `growpart`.
pub(crate) static GROWPART: Schema = tolerant(&[&[
    field("mode", Shape::Any, "`off` or `false` does nothing."),
    field("devices", Shape::Texts, "Disks whose last partition grows."),
    field(
        "ignore_growroot_disabled",
        Shape::Bool,
        "Kept for other programs.",
    ),
]]);
