//! What will happen to a disk, step by step, decided before anything is written.
//!
//! [`plan`] is pure: the same configuration, disk, payload and ids give the same plan. A step is complete, so that
//! carrying it out decides nothing. `landfall plan` prints what `landfall install` would do; there is no other dry run.

use std::fmt;

use anyhow::Result;
use partition::{
    BiosBoot, ByteRange, Bytes, Filesystem, Geometry, Layout, LayoutError, Partition, Role,
    SectorSize, Wanted, embed_bios, wipe_ranges,
};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::bootloader::render_env;
use crate::code::{Code, OrTrouble, Trouble};
use crate::config::Config;
use crate::machine::Disk;
use crate::payload::Payload;
use crate::report::Phase;

/// Title of the default menu entry.
const MENU_TITLE: &str = "Palette Edge";

/// Where the installer leaves its log and report on the persistent partition: the source of the bind mount of
/// `/var/log`, so they stand at `/var/log/landfall/` of the installed system.
pub const LOG_FOLDER: &str = ".state/var-log.bind/landfall";

/// Temporary name of the boot file on the EFI system partition; firmware does not look for it.
pub const ESP_WAITING: &str = "/EFI/BOOT/BOOTX64.NEW";

/// The name firmware looks for (UEFI 2.10, section 3.5.1.1: removable media boot behaviour).
pub const ESP_BOOT: &str = "/EFI/BOOT/BOOTX64.EFI";

/// Steps in order, and what they are for.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The disk as it was when the plan was made.
    pub disk: Disk,
    /// The partitions to be made.
    pub layout: Layout,
    /// What is destroyed, in words.
    pub destroys: String,
    /// Image that both slots get.
    pub image_id: String,
    /// Version of that image.
    pub version: String,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One change to the disk.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Overwrites the places where old tables and file systems would be found.
    Wipe {
        /// Byte ranges of the disk.
        ranges: Vec<ByteRange>,
    },
    /// Writes the partition table, without boot code.
    WriteTable,
    /// Makes a file system.
    MakeFilesystem {
        /// Number of the partition.
        partition: u32,
        /// Name of the partition.
        name: String,
        /// Type.
        filesystem: Filesystem,
        /// Label in the superblock.
        label: Option<String>,
        /// UUID in the superblock; the volume id of FAT is its first four bytes.
        uuid: Uuid,
    },
    /// Mounts a partition where the following steps write.
    Mount {
        /// Number of the partition.
        partition: u32,
        /// Name of the partition, and of its mount point.
        name: String,
    },
    /// Streams the payload once: both slots, and the compressed copy for recovery.
    WriteImages {
        /// Image files to write.
        slots: Vec<Place>,
        /// The copy as it is on the medium.
        recovery: Place,
        /// Bytes of one slot image.
        size: u64,
    },
    /// Reads back what `WriteImages` wrote and compares it with the manifest.
    VerifyImages {
        /// Image files to read.
        slots: Vec<Place>,
        /// The copy for recovery.
        recovery: Place,
    },
    /// Copies a file of the payload.
    CopyFile {
        /// Path in the payload.
        from: String,
        /// Where to.
        to: Place,
    },
    /// Writes a file whose content is known now.
    WriteFile {
        /// Where to.
        to: Place,
        /// Content.
        content: Content,
        /// Mode bits.
        mode: u32,
    },
    /// Writes GRUB's core image into the BIOS boot partition.
    EmbedBios {
        /// Number of the partition.
        partition: u32,
        /// The image with its block list.
        core: Content,
    },
    /// Makes the folders and files of the EFI system partition; the boot file still has a name that no firmware
    /// looks for.
    FillEsp {
        /// Number of the partition.
        partition: u32,
        /// Folders, parents first.
        folders: Vec<String>,
        /// Path in the payload, path on the partition.
        copies: Vec<(String, String)>,
        /// Files whose content is known now.
        files: Vec<(String, Content)>,
    },
    /// Leaves log and report of the install on the persistent partition.
    KeepLog {
        /// Folder.
        to: Place,
    },
    /// Syncs and unmounts everything.
    Unmount,
    /// Gives the boot file its name and writes the boot sector. The last step: before it, the disk does not boot.
    MakeBootable {
        /// Number of the EFI system partition.
        partition: u32,
        /// Boot code of sector 0.
        boot_code: Content,
    },
}

/// A file on a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the partition, which is also the name of its mount point.
    pub partition: &'static str,
    /// Path below its root, without a leading slash.
    pub path: String,
}

impl Place {
    fn new(partition: &'static str, path: impl Into<String>) -> Self {
        Self {
            partition,
            path: path.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:/{}", self.partition, self.path)
    }
}

/// Bytes to be written; never shown, since they may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl Step {
    /// The part of the install that the step belongs to.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Wipe { .. }
            | Self::WriteTable
            | Self::MakeFilesystem { .. }
            | Self::Mount { .. } => Phase::Prepare,
            Self::WriteImages { .. } => Phase::Write,
            Self::VerifyImages { .. } => Phase::Verify,
            Self::CopyFile { .. } | Self::WriteFile { .. } => Phase::Configure,
            Self::EmbedBios { .. }
            | Self::FillEsp { .. }
            | Self::KeepLog { .. }
            | Self::Unmount
            | Self::MakeBootable { .. } => Phase::Boot,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wipe { ranges } => write!(
                f,
                "wipe old tables and signatures ({} places)",
                ranges.len()
            ),
            Self::WriteTable => write!(f, "write the partition table"),
            Self::MakeFilesystem {
                name,
                filesystem,
                label,
                ..
            } => {
                write!(f, "make file system {filesystem} on {name}")?;
                label
                    .as_ref()
                    .map_or(Ok(()), |label| write!(f, " ({label})"))
            }
            Self::Mount { name, .. } => write!(f, "mount {name}"),
            Self::WriteImages {
                slots, recovery, ..
            } => {
                let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
                write!(f, "write {} and {recovery}", slots.join(", "))
            }
            Self::VerifyImages { .. } => write!(f, "read back and verify the images"),
            Self::CopyFile { from, to } => write!(f, "copy {from} to {to}"),
            Self::WriteFile { to, .. } => write!(f, "write {to}"),
            Self::EmbedBios { .. } => write!(f, "write GRUB for BIOS"),
            Self::FillEsp { .. } => write!(f, "fill the EFI system partition"),
            Self::KeepLog { to } => write!(f, "keep the log in {to}"),
            Self::Unmount => write!(f, "unmount and sync"),
            Self::MakeBootable { .. } => write!(f, "make the disk bootable"),
        }
    }
}

/// Everything a plan is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// What the operator wants.
    pub config: &'a Config,
    /// The disk that was chosen.
    pub disk: &'a Disk,
    /// The payload.
    pub payload: &'a Payload,
    /// Id of the install medium, for the recovery partition.
    pub media_id: &'a str,
    /// Text of the stub on the EFI system partition.
    pub esp_stub: &'a str,
}

/// Decides everything; refuses what cannot work. `id` is asked for every GUID and UUID, in order.
pub fn plan(inputs: &Inputs<'_>, mut id: impl FnMut() -> Uuid) -> Result<Plan> {
    let layout = lay_out(inputs, &mut id)?;
    let esp = of(&layout, Role::Esp)?;
    let bios = bios_boot(inputs, &layout)?;
    let slots = vec![
        Place::new("state", "cOS/active.img"),
        Place::new("state", "cOS/passive.img"),
    ];
    let slot_copy = Place::new("recovery", "landfall/payload/slot.img.zst");

    let mut steps = vec![
        Step::Wipe {
            ranges: wipe_ranges(&layout),
        },
        Step::WriteTable,
    ];
    steps.extend(file_systems(&layout, &mut id));
    for role in [Role::Oem, Role::Recovery, Role::State, Role::Persistent] {
        let partition = of(&layout, role)?;
        steps.push(Step::Mount {
            partition: partition.number,
            name: partition.name.clone(),
        });
    }
    steps.push(Step::WriteImages {
        slots: slots.clone(),
        recovery: slot_copy.clone(),
        size: inputs.payload.manifest.raw_size,
    });
    steps.push(Step::VerifyImages {
        slots,
        recovery: slot_copy,
    });
    steps.extend(recovery_files(inputs));
    steps.extend(config_files(inputs)?);
    if let Some(bios) = &bios {
        let partition = of(&layout, Role::BiosBoot)?.number;
        steps.push(Step::EmbedBios {
            partition,
            core: Content(bios.core.clone()),
        });
    }
    steps.push(fill_esp(inputs, esp.number));
    steps.push(Step::KeepLog {
        to: Place::new("persistent", LOG_FOLDER),
    });
    steps.push(Step::Unmount);
    let boot_code = Content(bios.map(|bios| bios.boot_code.to_vec()).unwrap_or_default());
    steps.push(Step::MakeBootable {
        partition: esp.number,
        boot_code,
    });

    Ok(Plan {
        destroys: format!("everything on {}", inputs.disk),
        disk: inputs.disk.clone(),
        image_id: inputs.payload.manifest.image_id.to_string(),
        version: inputs.payload.manifest.version.clone(),
        layout,
        steps,
    })
}

fn lay_out(inputs: &Inputs<'_>, id: &mut impl FnMut() -> Uuid) -> Result<Layout> {
    let Inputs {
        config,
        disk,
        payload,
        ..
    } = inputs;
    let sector = SectorSize::try_from(u64::from(disk.sector)).or_trouble(Code::LayoutImpossible)?;
    let geometry = Geometry {
        size: Bytes::new(disk.size),
        sector,
    };
    let wanted = Wanted {
        efi: config.sizes.efi,
        oem: config.sizes.oem,
        recovery: config.sizes.recovery,
        state: config.sizes.state,
        persistent: config.sizes.persistent,
        extra: config.extra.clone(),
        ..Wanted::new(
            Bytes::new(payload.manifest.raw_size),
            Bytes::new(payload.size()),
        )
    };
    wanted.layout(geometry, id).map_err(|error| match error {
        LayoutError::TooSmall { need, have } => Trouble::new(
            Code::DiskTooSmall,
            format!("{disk} is too small: {need} are needed, {have} are there"),
        )
        .into(),
        other => Trouble::new(Code::LayoutImpossible, other.to_string()).into(),
    })
}

fn of(layout: &Layout, role: Role) -> Result<&Partition> {
    layout.partition(role).ok_or_else(|| {
        Trouble::new(
            Code::LayoutImpossible,
            format!("the layout has no {role:?} partition"),
        )
        .into()
    })
}

/// Boot code and core image for BIOS; none on a disk with 4096-byte sectors, which no BIOS boots from.
fn bios_boot(inputs: &Inputs<'_>, layout: &Layout) -> Result<Option<BiosBoot>> {
    if inputs.disk.sector != 512 {
        return Ok(None);
    }
    let sector: &[u8; 512] = inputs
        .payload
        .bios_boot
        .as_slice()
        .try_into()
        .or_trouble(Code::BootFilesBad)?;
    let partition = of(layout, Role::BiosBoot)?;
    embed_bios(
        sector,
        &inputs.payload.bios_core,
        partition,
        SectorSize::B512,
    )
    .map(Some)
    .or_trouble(Code::BootFilesBad)
}

fn file_systems(layout: &Layout, id: &mut impl FnMut() -> Uuid) -> Vec<Step> {
    layout
        .partitions()
        .iter()
        .filter(|partition| partition.filesystem != Filesystem::Raw)
        .map(|partition| Step::MakeFilesystem {
            partition: partition.number,
            name: partition.name.clone(),
            filesystem: partition.filesystem,
            label: partition.label.clone(),
            uuid: id(),
        })
        .collect()
}

/// The medium's own content on the recovery partition, except for the user-data with its token.
fn recovery_files(inputs: &Inputs<'_>) -> Vec<Step> {
    let place = |path: String| Place::new("recovery", path);
    let mut steps = vec![
        Step::CopyFile {
            from: "boot/vmlinuz".into(),
            to: place("boot/kernel".into()),
        },
        Step::CopyFile {
            from: "boot/initrd".into(),
            to: place("boot/initrd".into()),
        },
        Step::CopyFile {
            from: image::manifest::MANIFEST_NAME.into(),
            to: place(format!(
                "landfall/payload/{}",
                image::manifest::MANIFEST_NAME
            )),
        },
    ];
    for file in &inputs.payload.manifest.files {
        steps.push(Step::CopyFile {
            from: file.path.clone(),
            to: place(format!("landfall/payload/{}", file.path)),
        });
    }
    let media_id = inputs.media_id;
    let described = serde_json::json!({ "format": 1, "media_id": media_id, "version": env!("CARGO_PKG_VERSION") });
    let mut write = |path: &str, text: String| {
        steps.push(Step::WriteFile {
            to: place(path.into()),
            content: Content(text.into_bytes()),
            mode: 0o644,
        });
    };
    write("landfall/media.json", format!("{described}\n"));
    write(
        "landfall/media.cfg",
        format!("set landfall_media={media_id}\n"),
    );
    steps
}

/// GRUB's configuration on the state partition and the operator's on OEM.
fn config_files(inputs: &Inputs<'_>) -> Result<Vec<Step>> {
    let config = inputs.config;
    let write = |partition, path: &str, bytes: Vec<u8>, mode| Step::WriteFile {
        to: Place::new(partition, path),
        content: Content(bytes),
        mode,
    };
    let title = [(
        "default_menu_entry",
        config.menu_title.as_deref().unwrap_or(MENU_TITLE),
    )];
    // Palette's agent puts this back to the active slot once the host is registered.
    let mut variables = vec![("saved_entry", "registration")];
    variables.extend(
        config
            .grub_env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let mut steps = vec![
        Step::CopyFile {
            from: "boot/grub.cfg".into(),
            to: Place::new("state", "grub2/grub.cfg"),
        },
        write(
            "state",
            "grub_oem_env",
            render_env(title).or_trouble(Code::UserDataInvalid)?,
            0o644,
        ),
        write(
            "oem",
            "grubenv",
            render_env(variables).or_trouble(Code::UserDataInvalid)?,
            0o644,
        ),
    ];
    for file in &config.oem_files {
        steps.push(write(
            "oem",
            &file.name,
            file.text.reveal().as_bytes().to_vec(),
            file.mode,
        ));
    }
    Ok(steps)
}

fn fill_esp(inputs: &Inputs<'_>, partition: u32) -> Step {
    let mut copies = vec![
        ("boot/shimx64.efi".to_owned(), ESP_WAITING.to_owned()),
        (
            "boot/grubx64.efi".to_owned(),
            "/EFI/BOOT/grubx64.efi".to_owned(),
        ),
    ];
    if inputs.payload.manifest.file("boot/mmx64.efi").is_some() {
        copies.push((
            "boot/mmx64.efi".to_owned(),
            "/EFI/BOOT/mmx64.efi".to_owned(),
        ));
    }
    // Debian's signed GRUB reads its configuration from EFI/debian; others from beside themselves.
    let stub = Content(inputs.esp_stub.as_bytes().to_vec());
    Step::FillEsp {
        partition,
        folders: vec!["/EFI".into(), "/EFI/BOOT".into(), "/EFI/debian".into()],
        copies,
        files: vec![
            ("/EFI/BOOT/grub.cfg".into(), stub.clone()),
            ("/EFI/debian/grub.cfg".into(), stub),
        ],
    }
}

impl fmt::Display for Plan {
    /// The plan for people: what is destroyed, the partitions, the steps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Disk:      {}", self.disk)?;
        writeln!(f, "Destroys:  {}", self.destroys)?;
        writeln!(f, "Image:     {} ({})\n", self.version, self.image_id)?;
        writeln!(f, "{}", self.layout)?;
        for note in self.layout.notes() {
            writeln!(f, "note: {note}")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", index + 1)?;
        }
        Ok(())
    }
}
