//! The head of a native slot image: a small ext4 that GRUB reads through `loopback`.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use host::{Argv, Host};
use image::ImageId;
use image::initrd::append_image_id;

use super::scratch::Scratch;

const MIB: u64 = 1 << 20;
const SMALLEST: u64 = 64 * MIB;
/// Far above what two kernels need; beyond it something else is in the initrd.
const LARGEST: u64 = 512 * MIB;

/// Only what GRUB 2.06 reads and `tune2fs` and `e2fsck` of every supported distribution accept; no
/// journal, since the head is never written again. `none` first switches off what a newer mke2fs adds.
const FEATURES: &str =
    "none,dir_index,ext_attr,extent,extra_isize,filetype,large_file,sparse_super";

/// What goes into the head.
#[derive(Debug)]
pub(super) struct HeadFiles {
    pub(super) kernel: PathBuf,
    pub(super) base_initrd: PathBuf,
    pub(super) bootargs: PathBuf,
    pub(super) grub_cfg: PathBuf,
}

/// Makes the head in `scratch` and returns where it is.
pub(super) fn make_head(
    files: &HeadFiles,
    id: &ImageId,
    epoch: u64,
    scratch: &Scratch,
    host: &mut dyn Host,
) -> Result<PathBuf> {
    let tree = scratch.join("head");
    stage(files, id, &tree)?;
    let path = scratch.join("head.ext4");
    let content = [&files.kernel, &files.base_initrd]
        .into_iter()
        .map(|file| Ok(fs::metadata(file)?.len()))
        .sum::<Result<u64>>()?;
    let size = head_size(content);
    ensure!(
        size <= LARGEST,
        "kernel and initrd have {} MiB, too much for the head of a slot image",
        content / MIB
    );
    File::create(&path)?.set_len(size)?;
    // mke2fs takes the time from here, e2fsprogs >= 1.42.
    let fake_time = |argv: Argv| argv.env("E2FSPROGS_FAKE_TIME", epoch.to_string());
    let make = Argv::new("mke2fs")
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-I",
            "256",
            "-m",
            "0",
            "-O",
            FEATURES,
            "-L",
            "COS_ACTIVE",
            "-U",
        ])
        .arg(id.uuid("head").to_string())
        .arg("-E")
        .arg(format!(
            "hash_seed={},root_owner=0:0,lazy_itable_init=0,no_copy_xattrs",
            id.uuid("hash seed")
        ))
        .arg("-d")
        .arg(&tree)
        .arg(&path);
    host.run(&fake_time(make))
        .context("making the head of the slot image")?;
    let script = scratch.join("head.debugfs");
    host::files::write_synced(&script, fix_inodes(epoch).as_bytes(), 0o644)?;
    let said = host.run(&fake_time(
        Argv::new("debugfs")
            .args(["-w", "-f"])
            .arg(script)
            .arg(&path),
    ))?;
    // debugfs reports a command that failed on standard error and still ends with 0.
    let complaint = said
        .stderr
        .lines()
        .find(|line| !line.starts_with("debugfs "));
    ensure!(
        complaint.is_none(),
        "debugfs: {}",
        complaint.unwrap_or_default()
    );
    fs::remove_dir_all(&tree)?;
    Ok(path)
}

fn stage(files: &HeadFiles, id: &ImageId, tree: &Path) -> Result<()> {
    fs::create_dir_all(tree.join("boot"))?;
    fs::create_dir_all(tree.join("etc/cos"))?;
    let copy = |from: &Path, to: &str| {
        fs::copy(from, tree.join(to)).with_context(|| format!("copying {}", from.display()))
    };
    copy(&files.kernel, "boot/vmlinuz")?;
    copy(&files.bootargs, "etc/cos/bootargs.cfg")?;
    copy(&files.grub_cfg, "etc/cos/grub.cfg")?;
    let mut base = File::open(&files.base_initrd)
        .with_context(|| format!("opening {}", files.base_initrd.display()))?;
    let mut initrd = BufWriter::new(File::create(tree.join("boot/initrd"))?);
    append_image_id(&mut base, &mut initrd, id).context("writing the initrd with the image id")?;
    initrd
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    Ok(())
}

/// Room for the content, the file system's own tables and a few config files; in steps, so that a slightly
/// larger initrd does not move the root.
fn head_size(content: u64) -> u64 {
    (content + content / 32 + 6 * MIB)
        .next_multiple_of(16 * MIB)
        .max(SMALLEST)
}

/// mke2fs copies owner, mode and times of the staged files; those depend on who built and when.
fn fix_inodes(epoch: u64) -> String {
    let entries = [
        ("/", "040755"),
        ("/boot", "040755"),
        ("/boot/vmlinuz", "0100644"),
        ("/boot/initrd", "0100600"),
        ("/etc", "040755"),
        ("/etc/cos", "040755"),
        ("/etc/cos/bootargs.cfg", "0100644"),
        ("/etc/cos/grub.cfg", "0100644"),
        ("/lost+found", "040700"),
    ];
    let mut lines = Vec::new();
    for (path, mode) in entries {
        let mut set = |field: &str, value: &str| {
            lines.push(format!("set_inode_field {path} {field} {value}\n"));
        };
        set("mode", mode);
        set("uid", "0");
        set("gid", "0");
        for field in ["atime", "ctime", "mtime", "crtime"] {
            set(field, &format!("@{epoch}"));
            set(&format!("{field}_extra"), "0");
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_grows_in_steps_of_16_mib_from_64() {
        for (content, size) in [(0, 64), (40, 64), (56, 64), (57, 80), (90, 112), (120, 144)] {
            assert_eq!(head_size(content * MIB), size * MIB, "{content} MiB");
        }
    }
}
