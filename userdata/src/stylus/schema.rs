//! The keys under `stylus` (`reference/palette.md` 1.3 to 1.6).

use crate::schema::{Schema, Shape, Unknown, field, legacy, not_carried_out};

const UNDER_INSTALL: &str = "move it under `install:`, a block of its own at the start of a line";
const TOP_LEVEL: &str = "move it to the start of a line, beside `stylus:`";

/// `stylus` (`reference/palette.md` 1.3).
pub(crate) static STYLUS: Schema = Schema {
    fields: &[&[
        field("debug", Shape::Bool),
        field("trace", Shape::Bool),
        field("disablePasswordUpdate", Shape::Bool),
        field("disableTui", Shape::Bool),
        field("enableMultiNode", Shape::Bool),
        field("externalRegistries", Shape::Object(&EXTERNAL_REGISTRIES)),
        field("featureGate", Shape::Text),
        field("imageRedirectWebhook", Shape::Object(&WEBHOOK)),
        legacy(
            "includeTui",
            Shape::Bool,
            "remove it; the screen is always there",
        ),
        legacy(
            "installationMode",
            Shape::Text,
            "write `managementMode: central` for `connected`, `local` for `airgap`",
        ),
        field("managementMode", Shape::Text),
        field("localUI", Shape::Object(&LOCAL_UI)),
        field("path", Shape::Text),
        field("registryCredentials", Shape::Object(&REGISTRY)),
        field("site", Shape::Object(&SITE)),
        field("vip", Shape::Object(&VIP)),
        legacy("skipKubeVip", Shape::Bool, "write `vip: {skip: ...}`"),
        legacy("imageOverride", Shape::Text, ""),
        legacy(
            "emcServer",
            Shape::Object(&EMC_SERVER),
            "write `localUI: {port: ...}`",
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

static VIP: Schema = Schema {
    fields: &[&[field("skip", Shape::Bool)]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static EMC_SERVER: Schema = Schema {
    fields: &[&[field("port", Shape::Count)]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static WEBHOOK: Schema = Schema {
    fields: &[&[field("enable", Shape::Bool), field("port", Shape::Count)]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static LOCAL_UI: Schema = Schema {
    fields: &[&[
        field("port", Shape::Count),
        field("login", Shape::Object(&LOCAL_UI_LOGIN)),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static LOCAL_UI_LOGIN: Schema = Schema {
    fields: &[&[
        field("attemptsBeforeExponentialDelayStarts", Shape::Count),
        field("maxFailedAttemptsBeforeLockout", Shape::Count),
        field("lockoutDurationInMinutes", Shape::Count),
        field("disableRateLimiting", Shape::Bool),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

/// One registry (`reference/palette.md` 1.4).
static REGISTRY: Schema = Schema {
    fields: &[&[
        field("domain", Shape::Text),
        field("username", Shape::Text),
        field("password", Shape::Text),
        field("repositoryName", Shape::Text),
        field("certificates", Shape::Texts),
        field("insecure", Shape::Bool),
        field("encodedPassword", Shape::Bool),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static EXTERNAL_REGISTRIES: Schema = Schema {
    fields: &[&[
        field("registries", Shape::Objects(&REGISTRY)),
        field("registryMappingRules", Shape::Scalars),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

/// `stylus.site` (`reference/palette.md` 1.5).
static SITE: Schema = Schema {
    fields: &[&[
        field("paletteEndpoint", Shape::Text),
        field("edgeHostToken", Shape::Text),
        field("disableAutoRegister", Shape::Bool),
        field("autoRegister", Shape::Bool),
        field("projectUid", Shape::Text),
        field("projectName", Shape::Text),
        field("registrationURL", Shape::Text),
        field("name", Shape::Text),
        field("hostName", Shape::Text),
        field("prefix", Shape::Text),
        not_carried_out("deviceUIDPaths", Shape::Objects(&DEVICE_UID_PATH)),
        field("caCerts", Shape::Texts),
        field("insecureSkipVerify", Shape::Bool),
        field("clusterId", Shape::Text),
        field("clusterName", Shape::Text),
        field("network", Shape::Object(&NETWORK)),
        field("ntpServers", Shape::TextOrTexts),
        field("remoteShell", Shape::Object(&REMOTE_SHELL)),
        field("tags", Shape::Scalars),
        not_carried_out("tagsFromFile", Shape::Object(&TAGS_FROM_FILE)),
        not_carried_out("tagsFromScript", Shape::Object(&TAGS_FROM_SCRIPT)),
        not_carried_out("users", Shape::Any),
        legacy("debug", Shape::Bool, "write it under `stylus`"),
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

static DEVICE_UID_PATH: Schema = Schema {
    fields: &[&[field("name", Shape::Text), field("regex", Shape::Text)]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static REMOTE_SHELL: Schema = Schema {
    fields: &[&[field("disable", Shape::Bool)]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static TAGS_FROM_FILE: Schema = Schema {
    fields: &[&[
        field("fileName", Shape::Text),
        field("delimiter", Shape::Text),
        field("separator", Shape::Text),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static TAGS_FROM_SCRIPT: Schema = Schema {
    fields: &[&[
        field("scriptName", Shape::Text),
        field("timeout", Shape::Count),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

const FLAT_NETWORK: &str = "write it under `interfaces: {<name of the interface>: ...}`";

/// `stylus.site.network` (`reference/palette.md` 1.6), with the flat form of 2023.
static NETWORK: Schema = Schema {
    fields: &[&[
        field("httpProxy", Shape::Text),
        field("httpsProxy", Shape::Text),
        field("noProxy", Shape::Text),
        field("nameserver", Shape::Text),
        field("interfaces", Shape::Named(&INTERFACE)),
        legacy("type", Shape::Text, FLAT_NETWORK),
        legacy("gateway", Shape::Text, FLAT_NETWORK),
        legacy("ipAddress", Shape::Text, FLAT_NETWORK),
        legacy("mask", Shape::Text, FLAT_NETWORK),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};

static INTERFACE: Schema = Schema {
    fields: &[&[
        field("type", Shape::Text),
        field("ipAddress", Shape::Text),
        field("mask", Shape::Text),
        field("gateway", Shape::Text),
        field("nameserver", Shape::Text),
    ]],
    misplaced: &[],
    unknown: Unknown::Refused,
};
