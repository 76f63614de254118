//! The files that an installation leaves on the recovery, state and OEM partitions.

use anyhow::Result;

use super::env::Variables;
use super::{Content, Inputs, Place, REGISTRATION, SAVED_ENTRY, Step, keep};
use crate::bootloader::{DISK, EnvError, FIRST_TURN, NONCE, SYSTEM, TURN, for_menu, render_env};
use crate::code::{Code, OrTrouble};

/// The medium's own content on the recovery partition, except for the user-data with its token.
pub(super) fn recovery_files(inputs: &Inputs<'_>) -> Vec<Step> {
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
pub(super) fn config_files(inputs: &Inputs<'_>) -> Result<Vec<Step>> {
    let config = inputs.config;
    let title = keep::menu_title(inputs, inputs.kept);
    let disk = inputs.disk;
    let size = tui::plain::human_bytes(disk.size);
    let about_disk = for_menu(format!("{size} {}", disk.serial).trim());
    let system = for_menu(&inputs.payload.manifest.version);
    // A disk that was told from a copy of it stays told.
    let turn = inputs.kept.and_then(|kept| kept.turn.as_deref());
    let about = [
        ("default_menu_entry", title),
        (SYSTEM, &system),
        (DISK, &about_disk),
        (NONCE, config.nonce.as_deref().unwrap_or_default()),
        (TURN, turn.unwrap_or(FIRST_TURN)),
    ];
    let mut steps = vec![write(
        "state",
        "grub_oem_env",
        render_env(about).or_trouble(Code::UserDataInvalid)?,
        0o644,
    )];
    if let Some(block) = grubenv(inputs)? {
        steps.push(write("oem", "grubenv", block, 0o644));
    }
    steps.extend(oem_files(inputs));
    // The last of the files: on a disk without an EFI system partition it says that the others are there.
    steps.push(Step::CopyFile {
        from: "boot/grub.cfg".into(),
        to: Place::new("state", "grub2/grub.cfg"),
    });
    Ok(steps)
}

fn write(partition: &'static str, path: &str, bytes: Vec<u8>, mode: u32) -> Step {
    Step::WriteFile {
        to: Place::new(partition, path),
        content: Content(bytes),
        mode,
    }
}

/// GRUB's environment on OEM, if it is to be written.
fn grubenv(inputs: &Inputs<'_>) -> Result<Option<Vec<u8>>> {
    if let Some(kept) = inputs.kept
        && let Ok(oem) = &kept.oem
    {
        return keep::grubenv(inputs, kept, oem);
    }
    // Palette's agent puts this back to the active slot once the host is registered.
    let mut variables: Variables = vec![(SAVED_ENTRY.to_owned(), REGISTRATION.to_owned())];
    variables.extend(inputs.config.grub_env.iter().cloned());
    render(&variables)
        .or_trouble(Code::UserDataInvalid)
        .map(Some)
}

pub(super) fn render(variables: &Variables) -> Result<Vec<u8>, EnvError> {
    let pairs = variables.iter();
    render_env(pairs.map(|(name, value)| (name.as_str(), value.as_str())))
}

/// The operator's files; a file that an earlier user-data asked for and this one does not goes.
fn oem_files(inputs: &Inputs<'_>) -> Vec<Step> {
    let found = inputs.kept.map(|kept| (kept.repair, &kept.oem));
    if let Some((true, _)) = found {
        return Vec::new();
    }
    let files = &inputs.config.oem_files;
    let mut steps: Vec<Step> = files
        .iter()
        .map(|file| {
            let text = file.text.reveal().as_bytes().to_vec();
            write("oem", &file.name, text, file.mode)
        })
        .collect();
    if let Some((_, Ok(oem))) = found
        && oem.custom_mounts
        && files.iter().all(|file| file.name != keep::CUSTOM_MOUNTS)
    {
        steps.push(Step::Remove {
            place: Place::new("oem", keep::CUSTOM_MOUNTS),
        });
    }
    steps
}
