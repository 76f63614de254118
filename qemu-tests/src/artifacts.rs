//! What the build left for the tests, and ISOs made from it.

use std::env;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::door;

/// The folder `build`: `LANDFALL_BUILD`, or `build` in the workspace.
pub fn build_folder() -> PathBuf {
    env::var_os("LANDFALL_BUILD").map_or_else(|| workspace().join("build"), PathBuf::from)
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_owned()
}

/// The program under test: `LANDFALL_BIN`, or where `./just build` leaves it.
///
/// # Errors
/// It is not there.
pub fn landfall() -> Result<PathBuf> {
    let path = env::var_os("LANDFALL_BIN").map_or_else(
        || workspace().join("target/x86_64-unknown-linux-musl/release/landfall"),
        PathBuf::from,
    );
    ensure!(
        path.is_file(),
        "no landfall binary at {}; run ./just build",
        path.display()
    );
    Ok(path)
}

/// The payload under test.
///
/// # Errors
/// It is not there.
pub fn payload() -> Result<PathBuf> {
    let path = build_folder().join("payload");
    ensure!(
        path.join("manifest.json").is_file(),
        "no payload at {}; run ./just payload",
        path.display()
    );
    Ok(path)
}

/// The folder with a firmware that starts from pvscsi.
///
/// # Errors
/// It is not there.
pub fn pvscsi_firmware() -> Result<PathBuf> {
    let path = build_folder().join("firmware-pvscsi");
    ensure!(
        path.is_dir(),
        "no firmware at {}; run qemu-tests/firmware-pvscsi.sh",
        path.display()
    );
    Ok(path)
}

/// Makes the installer ISO with this user-data, by the product's own command.
///
/// The user-data is written beside it as `<iso>.user-data`.
///
/// # Errors
/// The binary or the payload is missing, or the command failed; the message carries its words.
pub fn make_iso(user_data: &str, iso: &Path) -> Result<()> {
    let text = with_suffix(iso, ".user-data");
    door::write_file(&text, user_data.as_bytes())?;
    make_iso_from(&text, iso)
}

/// As [`make_iso`], from a file.
///
/// # Errors
/// As [`make_iso`].
pub fn make_iso_from(user_data: &Path, iso: &Path) -> Result<()> {
    // A file that is there already is another test's, or an old one.
    drop(fs::remove_file(iso));
    let mut command = door::command(landfall()?);
    command
        .args(["media", "iso", "--payload"])
        .arg(payload()?)
        .arg("--user-data")
        .arg(user_data)
        .arg("--out")
        .arg(iso);
    door::run(&mut command)?;
    ensure!(
        iso.is_file(),
        "landfall media iso made no {}",
        iso.display()
    );
    Ok(())
}

/// Installs an image file on this host, by the product's own command: the disk that a machine would have after an
/// installation, in less time.
///
/// The user-data is written beside it as `<image>.user-data`.
///
/// # Errors
/// The binary or the payload is missing, or the command failed; the message carries its words.
pub fn install_image(user_data: &str, image: &Path) -> Result<()> {
    let text = with_suffix(image, ".user-data");
    door::write_file(&text, user_data.as_bytes())?;
    let mut command = door::command(landfall()?);
    command
        .args(["install", "--disk"])
        .arg(image)
        .arg("--user-data")
        .arg(&text)
        .arg("--payload")
        .arg(payload()?);
    door::run(&mut command)?;
    Ok(())
}

/// `path` with something after its last character.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// BLAKE3 of a file's bytes, holes read as zeros.
///
/// # Errors
/// The file cannot be read.
pub fn hash(path: &Path) -> Result<blake3::Hash> {
    let file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(hasher.finalize())
}

/// Where a file lies inside an ISO: offset of its first byte, and its length.
///
/// # Errors
/// `xorriso` fails, knows no such file, or says that it lies in several pieces.
pub fn place_in_iso(iso: &Path, path: &str) -> Result<(u64, u64)> {
    let mut command = door::command("xorriso");
    command
        .arg("-indev")
        .arg(iso)
        .args(["-find", path, "-exec", "report_lba", "--"]);
    let listing = String::from_utf8_lossy(&door::run(&mut command)?).into_owned();
    parse_lba(&listing)
        .with_context(|| format!("looking for {path} in {}: {listing:?}", iso.display()))
}

/// Reads xorriso's report: `File data lba: <extent>, <start>, <blocks>, <bytes>, '<path>'`, blocks of 2048 bytes.
fn parse_lba(listing: &str) -> Result<(u64, u64)> {
    let lines: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.strip_prefix("File data lba:"))
        .collect();
    ensure!(lines.len() == 1, "{} pieces", lines.len());
    let fields: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let number =
        |at: usize| -> Result<u64> { Ok(fields.get(at).context("line cut short")?.parse()?) };
    Ok((number(1)? * 2048, number(3)?))
}

/// Changes bytes of a file in place: `change` gets what is at `offset`.
///
/// # Errors
/// The file is shorter, or cannot be read or written.
pub fn patch<const N: usize>(
    path: &Path,
    offset: u64,
    change: impl FnOnce(&mut [u8; N]),
) -> Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)
        .with_context(|| format!("reading {N} bytes at {offset} of {}", path.display()))?;
    change(&mut bytes);
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&bytes)
        .with_context(|| format!("patching {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_xorriso_gives_offset_and_length() {
        let report = "Report layout: xt , Startlba , Blocks , Filesize , ISO image path\n\
                      File data lba:  0 ,     1154 ,    23310 ,  47738880 , '/landfall/payload/slot.img.zst'\n";
        assert_eq!(parse_lba(report).unwrap(), (1154 * 2048, 47_738_880));
        assert_eq!(parse_lba("").unwrap_err().to_string(), "0 pieces");
    }

    #[test]
    fn a_patch_changes_only_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        door::write_file(&path, b"abcdef").unwrap();
        patch::<2>(&path, 2, |bytes| bytes.reverse()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abdcef");
        assert!(patch::<2>(&path, 5, |_| ()).is_err());
    }
}
