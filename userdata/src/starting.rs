//! A document to start from.

use crate::checks::EKS_LISTS;
use crate::text::HEADER;

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Any edge host.
    #[default]
    General,
    /// A node of Amazon EKS Hybrid Nodes.
    EksHybrid,
}

/// A commented document for a profile. It validates; what is left to fill in stands in angle brackets and is warned
/// about (rule U34).
pub fn starting_document(profile: Profile) -> String {
    let mut document = format!("{HEADER}\n{REGISTRATION}\n");
    match profile {
        Profile::General => document.push_str(INSTALL),
        Profile::EksHybrid => {
            document.push_str(INSTALL);
            document.push_str(
                "  # What EKS Hybrid Nodes needs; more may be added, none may be left out.\n",
            );
            for (key, items) in EKS_LISTS {
                document.extend([format!("  {key}:\n")]);
                for item in *items {
                    document.extend([format!("    - {item}\n")]);
                }
            }
        }
    }
    document.push('\n');
    document.push_str(CONSENT);
    document.push('\n');
    document.push_str(ACCOUNTS);
    document
}

const REGISTRATION: &str = "\
# What stands in angle brackets is to be filled in; a line behind `#` is only an example.

stylus:
  site:
    # Host name of Palette, without https://
    paletteEndpoint: api.spectrocloud.com
    # The token with which the host registers by itself. It is a secret: so is this file.
    edgeHostToken: <registration-token>
    # The project, 24 hexadecimal digits.
    projectUid: <project-uid>
    # Without a token: the page to which the QR code on the screen leads.
    # registrationURL: https://register.example.com
    # The id of the host; absent, it is made of the machine's own id.
    # name: edge-shop-0042
    # tags:
    #   town: springfield
    # network:
    #   interfaces:
    #     eth0:
    #       type: static
    #       ipAddress: 10.0.10.25/24
    #       gateway: 10.0.10.1
    #       nameserver: 10.0.10.1
";

const INSTALL: &str = "\
install:
  # `auto`, or a path such as /dev/disk/by-id/nvme-x
  device: auto
  # What happens at the end: `poweroff`, `reboot`, or neither, and the screen stays.
  poweroff: true
";

const CONSENT: &str = "\
# Which disk with `device: auto`, and what may be erased from it: never (blank disks only), ours (also an earlier
# installation; so it is when nothing is said) or foreign (anything).
# landfall:
#   wipe: ours
#   disk:
#     serial: S6Z2NX0W123456
";

const ACCOUNTS: &str = "\
stages:
  initramfs:
    - name: Who may log in
      users:
        kairos:
          groups:
            - sudo
          # A key, a password made by `openssl passwd -6`, or both.
          ssh_authorized_keys:
            - <ssh-public-key>
          # passwd: $6$...
";
