//! User-data texts for tests and the demo: the document of the EKS hybrid guide, pointed at a simulated Palette.

use std::fmt;
use std::net::SocketAddr;

/// The address under which a guest reaches this host; QEMU's user network has it so.
pub const HOST_FOR_GUESTS: &str = "10.0.2.2";

/// The seven folders that the EKS hybrid block keeps, in its order.
pub const BIND_MOUNTS: [&str; 7] = [
    "/eks-hybrid",
    "/etc/aws",
    "/etc/containerd",
    "/etc/eks",
    "/etc/iam",
    "/etc/modules-load.d",
    "/var/lib/amazon",
];

/// A file that the `initramfs` stage writes, and its content.
pub const STAGE_FILE: (&str, &str) = ("/etc/landfall-stage-file", "written by the user-data");
/// A file that a command of the `initramfs` stage writes, and its content.
pub const STAGE_COMMAND_FILE: (&str, &str) = ("/etc/landfall-stage-command", "made by a command");

/// What the machine does after an installation that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `install.reboot: true`.
    Reboot,
    /// `install.poweroff: true`.
    PowerOff,
    /// Neither: it waits.
    Stay,
}

/// The text, as [`fmt::Display`].
#[derive(Clone)]
pub struct UserData {
    /// `stylus.site.paletteEndpoint`.
    pub endpoint: String,
    /// `stylus.site.caCerts`, one PEM certificate.
    pub ca_pem: String,
    /// `stylus.site.edgeHostToken`.
    pub token: Option<String>,
    /// `stylus.site.projectUid`.
    pub project_uid: String,
    /// `stylus.site.registrationURL`.
    pub registration_url: Option<String>,
    /// What follows the installation.
    pub ending: Ending,
    /// `landfall.nonce`.
    pub nonce: Option<String>,
    /// `landfall.wipe`; absent: as the product decides.
    pub wipe: Option<&'static str>,
    /// `landfall.table`; absent: as the product decides.
    pub table: Option<&'static str>,
    /// `landfall.disk.serial`.
    pub disk_serial: Option<String>,
    /// Key of the user `kairos`.
    pub ssh_key: Option<String>,
    /// Clear-text password of the user `kairos`.
    pub password: String,
    /// Further steps of `stages.initramfs`, as text that begins in the first column.
    pub more_steps: String,
    /// Further stages, as lines of YAML that begin with two blanks.
    pub more_stages: &'static str,
}

impl UserData {
    /// For a simulated Palette that listens at `sim` on this host; reboots after the installation.
    pub fn for_guest(sim: SocketAddr, ca_pem: &str, project_uid: &str, password: &str) -> Self {
        let endpoint = format!("{HOST_FOR_GUESTS}:{}", sim.port());
        Self {
            registration_url: Some(format!("https://{endpoint}/")),
            endpoint,
            ca_pem: ca_pem.to_owned(),
            token: None,
            project_uid: project_uid.to_owned(),
            ending: Ending::Reboot,
            nonce: None,
            wipe: None,
            table: None,
            disk_serial: None,
            ssh_key: None,
            password: password.to_owned(),
            more_steps: String::new(),
            more_stages: "",
        }
    }
}

impl fmt::Debug for UserData {
    /// Without token and password, which would end in the log of a failing test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserData")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "#cloud-config\nstylus:\n  site:\n    paletteEndpoint: {}",
            self.endpoint
        )?;
        if let Some(token) = &self.token {
            writeln!(f, "    edgeHostToken: {token}")?;
        }
        writeln!(f, "    projectUid: {}", self.project_uid)?;
        if let Some(url) = &self.registration_url {
            writeln!(f, "    registrationURL: {url}")?;
        }
        writeln!(f, "    caCerts:\n      - |")?;
        for line in self.ca_pem.lines() {
            writeln!(f, "        {line}")?;
        }
        let serial = self.disk_serial.as_ref();
        let disk = serial.map(|serial| format!("{{serial: {serial}}}"));
        let keys = [
            ("nonce", self.nonce.as_deref()),
            ("wipe", self.wipe),
            ("table", self.table),
            ("disk", disk.as_deref()),
        ];
        let given = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        for (at, (key, value)) in given.enumerate() {
            if at == 0 {
                writeln!(f, "\nlandfall:")?;
            }
            writeln!(f, "  {key}: {value}")?;
        }
        writeln!(f, "\ninstall:")?;
        match self.ending {
            Ending::Reboot => writeln!(f, "  reboot: true")?,
            Ending::PowerOff => writeln!(f, "  poweroff: true")?,
            Ending::Stay => {}
        }
        writeln!(f, "  extra-dirs-rootfs:\n    - /eks-hybrid\n  bind_mounts:")?;
        for folder in BIND_MOUNTS {
            writeln!(f, "    - {folder}")?;
        }
        writeln!(
            f,
            "\nstages:\n  initramfs:\n    - name: operator\n      users:\n        kairos:"
        )?;
        writeln!(
            f,
            "          groups:\n            - sudo\n          passwd: {}",
            self.password
        )?;
        if let Some(key) = &self.ssh_key {
            writeln!(f, "          ssh_authorized_keys:\n            - {key}")?;
        }
        let (path, content) = STAGE_FILE;
        writeln!(
            f,
            "    - name: traces\n      files:\n        - path: {path}\n          permissions: 0640"
        )?;
        writeln!(
            f,
            "          owner: 0\n          group: 0\n          content: {content}"
        )?;
        let (path, content) = STAGE_COMMAND_FILE;
        writeln!(f, "      commands:\n        - echo {content} > {path}")?;
        let mut lines = self.more_steps.lines();
        lines.try_for_each(|line| writeln!(f, "    {line}"))?;
        f.write_str(self.more_stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_eks_block_with_everything_in_its_place() {
        let sim = SocketAddr::from(([127, 0, 0, 1], 4443));
        let mut text = UserData::for_guest(
            sim,
            "-----BEGIN X-----\nAAAA\n-----END X-----\n",
            "p1",
            "pw",
        );
        text.ending = Ending::Stay;
        text.ssh_key = Some("ssh-ed25519 AAAA me".to_owned());
        let expected = "\
#cloud-config
stylus:
  site:
    paletteEndpoint: 10.0.2.2:4443
    projectUid: p1
    registrationURL: https://10.0.2.2:4443/
    caCerts:
      - |
        -----BEGIN X-----
        AAAA
        -----END X-----

install:
  extra-dirs-rootfs:
    - /eks-hybrid
  bind_mounts:
    - /eks-hybrid
    - /etc/aws
    - /etc/containerd
    - /etc/eks
    - /etc/iam
    - /etc/modules-load.d
    - /var/lib/amazon

stages:
  initramfs:
    - name: operator
      users:
        kairos:
          groups:
            - sudo
          passwd: pw
          ssh_authorized_keys:
            - ssh-ed25519 AAAA me
    - name: traces
      files:
        - path: /etc/landfall-stage-file
          permissions: 0640
          owner: 0
          group: 0
          content: written by the user-data
      commands:
        - echo made by a command > /etc/landfall-stage-command
";
        assert_eq!(text.to_string(), expected);
        text.ending = Ending::PowerOff;
        text.token = Some("secret-token".to_owned());
        text.wipe = Some("foreign");
        text.disk_serial = Some("LF0002".to_owned());
        let text_with_token = text.to_string();
        assert!(text_with_token.contains("    edgeHostToken: secret-token\n"));
        assert!(text_with_token.contains("install:\n  poweroff: true\n  extra-dirs-rootfs:\n"));
        assert!(
            text_with_token.contains("\nlandfall:\n  wipe: foreign\n  disk: {serial: LF0002}\n\n")
        );
        assert!(!format!("{text:?}").contains("secret-token"));
    }
}
