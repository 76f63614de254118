//! The keys under `stylus` (`reference/palette.md` 1.3 to 1.5); the network has its own table.

use super::network::NETWORK;
use crate::schema::{Schema, Shape, Unknown, field, obsolete, renamed, strict};
use crate::stages::SITE_USER;

const UNDER_INSTALL: &str = "move it under `install:`, a block of its own at the start of a line";
const TOP_LEVEL: &str = "move it to the start of a line, beside `stylus:`";

/// `stylus` (`reference/palette.md` 1.3).
pub(crate) static STYLUS: Schema = Schema {
    fields: &[&[
        field(
            "managementMode",
            Shape::Choice(&["central", "local"]),
            "Who manages the host: `central` is Palette, `local` is nobody from outside. EKS Hybrid Nodes needs `central`, the default.",
        ),
        field(
            "site",
            Shape::Object(&SITE),
            "What this host is and where it registers.",
        ),
        field("debug", Shape::Bool, "The agent logs more."),
        field("trace", Shape::Bool, "The agent logs everything."),
        field(
            "disablePasswordUpdate",
            Shape::Bool,
            "The local UI may not change passwords of the operating system.",
        ),
        field(
            "disableTui",
            Shape::Bool,
            "The screen of the host shows, but changes nothing.",
        ),
        field(
            "enableMultiNode",
            Shape::Bool,
            "A locally managed host may link with others to one cluster.",
        ),
        field(
            "externalRegistries",
            Shape::Object(&EXTERNAL_REGISTRIES),
            "Several image registries, or rules that map one to another.",
        ),
        field(
            "registryCredentials",
            Shape::Object(&REGISTRY),
            "One image registry without mapping rules.",
        ),
        field(
            "imageRedirectWebhook",
            Shape::Object(&WEBHOOK),
            "The webhook that redirects image pulls.",
        ),
        field(
            "featureGate",
            Shape::Text,
            "Features that are switched on, separated by commas; known are `UserDataForm` and `DisableWorkerNodeCapReconcile`.",
        ),
        field("localUI", Shape::Object(&LOCAL_UI), "The local UI."),
        field(
            "vip",
            Shape::Object(&VIP),
            "The virtual address of the cluster.",
        ),
        field(
            "path",
            Shape::Text,
            "The directory below which the agent installs itself; `/` if absent. For Agent Mode.",
        ),
        obsolete(
            "includeTui",
            Shape::Bool,
            "remove it; the screen is always there",
            "Once switched the screen on, which is now always on.",
        ),
        renamed(
            "installationMode",
            Shape::Choice(&["connected", "airgap"]),
            "write `managementMode: central` for `connected`, `local` for `airgap`",
            "Old form of `managementMode`.",
        ),
        renamed(
            "skipKubeVip",
            Shape::Bool,
            "write `vip: {skip: ...}`",
            "Old form of `vip.skip`.",
        ),
        renamed(
            "emcServer",
            Shape::Object(&EMC_SERVER),
            "write `localUI: {port: ...}`",
            "Old form of `localUI`.",
        ),
        renamed(
            "EnableUserdataForm",
            Shape::Bool,
            "write `featureGate: UserDataForm`",
            "Old form of the feature gate `UserDataForm`.",
        ),
        obsolete(
            "imageOverride",
            Shape::Text,
            "remove it",
            "Once named another image of the installer.",
        ),
    ]],
    misplaced: &[
        ("reboot", UNDER_INSTALL),
        ("poweroff", UNDER_INSTALL),
        ("install", TOP_LEVEL),
        ("stages", TOP_LEVEL),
        ("users", TOP_LEVEL),
    ],
    unknown: Unknown::Refused,
};

static VIP: Schema = strict(&[&[field("skip", Shape::Bool, "kube-vip is not configured.")]]);

static EMC_SERVER: Schema = strict(&[&[field("port", Shape::Count, "Port of the local UI.")]]);

static WEBHOOK: Schema = strict(&[&[
    field("enable", Shape::Bool, "Whether it runs; `true` if absent."),
    field("port", Shape::Count, "Its port."),
]]);

static LOCAL_UI: Schema = strict(&[&[
    field("port", Shape::Count, "Its port; 5080 if absent."),
    field(
        "login",
        Shape::Object(&LOCAL_UI_LOGIN),
        "How guessing of passwords is slowed down.",
    ),
]]);

static LOCAL_UI_LOGIN: Schema = strict(&[&[
    field(
        "attemptsBeforeExponentialDelayStarts",
        Shape::Count,
        "Failed logins after which the wait doubles; 3 if absent.",
    ),
    field(
        "maxFailedAttemptsBeforeLockout",
        Shape::Count,
        "Failed logins after which the account is locked; 5 if absent.",
    ),
    field(
        "lockoutDurationInMinutes",
        Shape::Count,
        "How long it stays locked; 15 if absent.",
    ),
    field(
        "disableRateLimiting",
        Shape::Bool,
        "Switches the three others off.",
    ),
]]);

/// One registry (`reference/palette.md` 1.4).
static REGISTRY: Schema = strict(&[&[
    field(
        "domain",
        Shape::Text,
        "Host name or address, with an optional port and path.",
    ),
    field("username", Shape::Text, "Name to log in with."),
    field("password", Shape::Text, "Password to log in with."),
    field("repositoryName", Shape::Text, "Name of the repository."),
    field("certificates", Shape::Texts, "CA certificates as PEM."),
    field("insecure", Shape::Bool, "Its certificate is not verified."),
    field(
        "encodedPassword",
        Shape::Bool,
        "The password is written in base64.",
    ),
]]);

static EXTERNAL_REGISTRIES: Schema = strict(&[&[
    field("registries", Shape::Objects(&REGISTRY), "The registries."),
    field(
        "registryMappingRules",
        Shape::Scalars,
        "The start of an image's name and what takes its place.",
    ),
]]);

/// `stylus.site` (`reference/palette.md` 1.5).
static SITE: Schema = Schema {
    fields: &[&[
        field(
            "paletteEndpoint",
            Shape::Text,
            "Host name of Palette, with an optional port and without a scheme, such as `api.spectrocloud.com`.",
        ),
        field(
            "edgeHostToken",
            Shape::Text,
            "Registration token of the tenant. A secret.",
        ),
        field(
            "projectUid",
            Shape::Text,
            "Id of the project, 24 hexadecimal digits.",
        ),
        field(
            "projectName",
            Shape::Text,
            "Name of the project, instead of its id. If there is none of this name, the host never appears.",
        ),
        field(
            "registrationURL",
            Shape::Text,
            "Where the QR code of the registration screen leads. May have variables.",
        ),
        field(
            "disableAutoRegister",
            Shape::Bool,
            "The host waits, although there is a token.",
        ),
        field(
            "autoRegister",
            Shape::Bool,
            "Undocumented by the vendor; kept.",
        ),
        field(
            "name",
            Shape::Text,
            "The edge host ID; `$random` asks for a random one. Absent: made of the machine's own id. May have variables.",
        ),
        field(
            "hostName",
            Shape::Text,
            "Name of the host in the operating system and in Kubernetes; as `name` if absent. May have variables.",
        ),
        field(
            "prefix",
            Shape::Text,
            "Start of a generated ID; `edge` if absent.",
        ),
        field(
            "deviceUIDPaths",
            Shape::Objects(&DEVICE_UID_PATH),
            "Files from which the ID is read, in this order.",
        ),
        field(
            "caCerts",
            Shape::Texts,
            "CA certificates that the host trusts, each as PEM or as base64 of it.",
        ),
        field(
            "insecureSkipVerify",
            Shape::Bool,
            "Ignored: the certificate of Palette is always verified.",
        ),
        field(
            "clusterId",
            Shape::Text,
            "Id of the cluster to which the host belongs.",
        ),
        field(
            "clusterName",
            Shape::Text,
            "Name of the cluster to which the host belongs.",
        ),
        field(
            "network",
            Shape::Object(&NETWORK),
            "Proxies, DNS and interfaces.",
        ),
        field(
            "ntpServers",
            Shape::TextOrTexts,
            "Time servers, as a list or separated by commas.",
        ),
        field(
            "remoteShell",
            Shape::Object(&REMOTE_SHELL),
            "The remote shell of Palette.",
        ),
        field(
            "tags",
            Shape::Object(&TAGS),
            "Labels of the edge host, by name. Their values may have variables.",
        ),
        field(
            "tagsFromFile",
            Shape::Object(&TAGS_FROM_FILE),
            "A file on the host with more labels.",
        ),
        field(
            "tagsFromScript",
            Shape::Object(&TAGS_FROM_SCRIPT),
            "A script on the host that prints more labels.",
        ),
        field(
            "users",
            Shape::ObjectsOrNamed(&SITE_USER),
            "Users of the operating system, as a list or by name.",
        ),
        renamed(
            "debug",
            Shape::Bool,
            "write it under `stylus`",
            "Old place of `stylus.debug`.",
        ),
    ]],
    misplaced: &[
        ("reboot", UNDER_INSTALL),
        ("poweroff", UNDER_INSTALL),
        ("install", TOP_LEVEL),
        ("stages", TOP_LEVEL),
        ("siteNetwork", "write `network`"),
    ],
    unknown: Unknown::Refused,
};

static DEVICE_UID_PATH: Schema = strict(&[&[
    field("name", Shape::Text, "Path of the file."),
    field(
        "regex",
        Shape::Text,
        "The part of its content that is the ID, as an RE2 expression; all of it if absent.",
    ),
]]);

static REMOTE_SHELL: Schema = strict(&[&[field("disable", Shape::Bool, "It is forbidden.")]]);

/// Any name is a label; the two others are labels too for the agent, which nobody means.
static TAGS: Schema = Schema {
    fields: &[&[
        renamed(
            "tagsFromFile",
            Shape::Object(&TAGS_FROM_FILE),
            "move it beside `tags`, under `site`",
            "Wrong place of `stylus.site.tagsFromFile`.",
        ),
        renamed(
            "tagsFromScript",
            Shape::Object(&TAGS_FROM_SCRIPT),
            "move it beside `tags`, under `site`",
            "Wrong place of `stylus.site.tagsFromScript`.",
        ),
    ]],
    misplaced: &[],
    unknown: Unknown::Scalars,
};

static TAGS_FROM_FILE: Schema = strict(&[&[
    field("fileName", Shape::Text, "Path of the file."),
    field(
        "delimiter",
        Shape::Text,
        "What stands between two labels; a line break if absent.",
    ),
    field(
        "separator",
        Shape::Text,
        "What stands between the name of a label and its value; `:` if absent.",
    ),
]]);

static TAGS_FROM_SCRIPT: Schema = strict(&[&[
    field(
        "scriptName",
        Shape::Text,
        "Path of an executable that prints one flat JSON object.",
    ),
    field(
        "timeout",
        Shape::Count,
        "Seconds that it may take; 60 if absent.",
    ),
]]);
