//! What every plan here is made from: machines and user-data from files, and a payload that is on no medium.

use std::path::{Path, PathBuf};

use image::manifest::{CHUNK_SIZE, Chunk, FileEntry};
use image::{Digest, Kind, Manifest};
use installer::config::{Config, configure};
use installer::hooks::Hooks;
use installer::machine::{Disk, Machine};
use installer::payload::{BOOT_FILES, Payload};
use installer::plan::{Inputs, Plan, plan};
use userdata::{Parsed, UserData};
use uuid::Uuid;

pub(crate) const MIB: u64 = 1 << 20;
/// What a password becomes here; a real hash has a random salt.
pub(crate) const HASH: &str = "$6$canary-hash-d3b1";

pub(crate) fn fixture(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn machine(name: &str) -> Machine {
    serde_json::from_str(&fixture(&format!("machines/{name}.json"))).unwrap()
}

pub(crate) fn user_data(name: &str) -> UserData {
    let text = fixture(&format!("user-data/{name}.yaml"));
    let Parsed {
        findings,
        user_data,
    } = userdata::parse(name, text.as_bytes());
    user_data.unwrap_or_else(|| panic!("{findings:#?}"))
}

pub(crate) fn config(user_data: &UserData, disk: &str) -> anyhow::Result<Config> {
    configure(user_data, disk, &mut |_| HASH.to_owned())
}

/// A payload of a plausible size that is on no medium: a plan needs its lengths and GRUB for BIOS only.
pub(crate) fn payload() -> Payload {
    let slot = 700 * MIB;
    let chunks = slot / u64::from(CHUNK_SIZE);
    let frame = 2 << 20;
    let mut bios_boot = vec![0; 512];
    bios_boot[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    bios_boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut bios_core = vec![0; 3 * 512];
    bios_core[510..512].copy_from_slice(&0x0820_u16.to_le_bytes());
    let file = |path: &str| FileEntry {
        path: path.to_owned(),
        size: 3 * MIB,
        blake3: Digest::of(path.as_bytes()),
    };
    let mut files: Vec<FileEntry> = BOOT_FILES.iter().map(|path| file(path)).collect();
    files.push(file("boot/mmx64.efi"));
    Payload {
        folder: PathBuf::from("/payload"),
        bios_boot,
        bios_core_mbr: Some(bios_core.clone()),
        bios_core,
        manifest: Manifest {
            format: Manifest::FORMAT,
            image_id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            kind: Kind::Native,
            version: "1.2.3".to_owned(),
            build: "test".to_owned(),
            kernel_version: "6.1.0-test".to_owned(),
            raw_size: slot,
            raw_blake3: Digest::of(b"slot"),
            chunk_size: CHUNK_SIZE,
            chunks: (0..chunks)
                .map(|index| Chunk {
                    offset_in_zst: index * u64::from(frame),
                    compressed_len: frame,
                    raw_len: CHUNK_SIZE,
                    blake3: Digest::of(&index.to_le_bytes()),
                })
                .collect(),
            files,
        },
    }
}

/// Ids that count up, so that a plan is the same in every run.
pub(crate) fn counting() -> impl FnMut() -> Uuid {
    let mut last = 0x00c0_ffee_0000_4000_8000_0000_0000_0000;
    move || {
        last += 1;
        Uuid::from_u128(last)
    }
}

pub(crate) fn plan_for(config: &Config, disk: &Disk, payload: &Payload) -> anyhow::Result<Plan> {
    let inputs = Inputs {
        config,
        disk,
        kept: None,
        payload,
        hooks: &Hooks::default(),
        media_id: "ffeeddccbbaa99887766554433221100",
        esp_stub: "# the stub\n",
        firmware: None,
        entries: None,
    };
    plan(&inputs, counting())
}
