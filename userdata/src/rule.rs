//! The rules that findings name (`reference/palette.md` 1.13; from U35 on our own).

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal),* $(,)?) => {
        /// The stable identity of a check; its id is documented and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule { $($(#[$doc])* $name),* }

        impl Rule {
            /// Every rule, in the order of its id.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The id that people look up, such as `U02`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }
        }
    };
}

rules! {
    /// `#cloud-config` is not the first line.
    Header = "U01",
    /// The text is not YAML, or uses a part of YAML on which readers disagree.
    Syntax = "U02",
    /// A tab indents.
    Tab = "U03",
    /// A key stands twice in one mapping.
    DuplicateKey = "U04",
    /// Nothing stands where a value is needed.
    Empty = "U05",
    /// The value has the wrong type.
    Type = "U06",
    /// The key belongs to another block.
    Misplaced = "U07",
    /// The key is unknown.
    UnknownKey = "U08",
    /// `managementMode` is not one that works here.
    ManagementMode = "U09",
    /// A host that Palette manages has no `paletteEndpoint`.
    NoEndpoint = "U10",
    /// There is neither a token nor a registration page.
    NoRegistration = "U11",
    /// `paletteEndpoint` is not `host` or `host:port`.
    Endpoint = "U12",
    /// There is a token, but no project.
    NoProject = "U13",
    /// `projectUid` is not an id of a project.
    ProjectUid = "U14",
    /// Both `projectUid` and `projectName` are given.
    TwoProjects = "U15",
    /// The edge host ID cannot be used.
    HostId = "U16",
    /// The prefix of a generated ID has other characters than letters, digits and dashes.
    Prefix = "U17",
    /// An item of `deviceUIDPaths` has no file, or its expression is not RE2.
    DeviceUid = "U18",
    /// A static interface lacks its address, prefix length or gateway, or the gateway is elsewhere.
    StaticInterface = "U19",
    /// An address, a network or a URL under `network` is not one.
    Network = "U20",
    /// No interface has a static address.
    NoStaticAddress = "U21",
    /// A CA certificate is neither PEM nor base64 of one.
    CaCertificate = "U22",
    /// A list item that EKS Hybrid Nodes needs is missing.
    EksHybrid = "U23",
    /// A path is not absolute and clean.
    Path = "U24",
    /// `poweroff` and `reboot` are both true.
    PowerOffAndReboot = "U25",
    /// The host reboots after the installation, with the medium perhaps still in it.
    RebootLoop = "U26",
    /// An extra partition has no name, or the last one will be larger than its size.
    ExtraPartition = "U27",
    /// `install.device` names no disk.
    Device = "U28",
    /// A password stands in clear text.
    ClearPassword = "U29",
    /// The key has a newer name.
    Legacy = "U30",
    /// `registrationURL` is not an http or https address.
    RegistrationUrl = "U31",
    /// One registry and several registries are given.
    TwoRegistries = "U32",
    /// Nobody can log in.
    NoUser = "U33",
    /// A `<placeholder>` was left in a value.
    Placeholder = "U34",
    /// The text is too large, too deep, not UTF-8, or more than one document.
    Limit = "U35",
    /// The key is valid, but this version does not carry it out.
    NotCarriedOut = "U36",
    /// The value would weaken the host and is not honoured.
    Insecure = "U37",
    /// A name has characters that would mean something else where it is written.
    Name = "U38",
    /// The value is outside of what the key allows.
    Value = "U39",
    /// Both `landfall.disk` and a path in `install.device` say which disk.
    TwoDisks = "U40",
    /// A variable that there is not, or that this machine has no value for.
    Variable = "U41",
    /// A stage that runs inside the new system changes what does not stay.
    Fleeting = "U42",
    /// A partition is asked for that an MBR has no room for.
    NotOnMbr = "U43",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_ascending() {
        let ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }
}
