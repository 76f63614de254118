//! The unpacked root of a provider image: where things are in it, and what must not be.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// More links than this in one path are a circle.
const MAX_LINKS: usize = 40;

/// An unpacked root, seen from the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRoot(PathBuf);

impl ProviderRoot {
    /// Takes a folder that looks like a root.
    pub fn open(path: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).with_context(|| format!("opening {}", path.display()))?;
        ensure!(
            path.join("etc").is_dir(),
            "{} is not the root of a system: it has no /etc",
            path.display()
        );
        Ok(Self(path))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where `inside` really is, as the booted system would see it: links are followed within the root,
    /// so that an absolute one never leads to a file of the machine that builds.
    pub fn resolve(&self, inside: &str) -> Result<PathBuf> {
        let mut left: VecDeque<OsString> = words(Path::new(inside)).collect();
        let mut at = Vec::<OsString>::new();
        let mut links = 0;
        while let Some(word) = left.pop_front() {
            if word == ".." {
                at.pop();
                continue;
            }
            at.push(word);
            let here = self.0.join(at.iter().collect::<PathBuf>());
            let facts = fs::symlink_metadata(&here).with_context(|| {
                format!(
                    "looking for /{} in the root",
                    inside.trim_start_matches('/')
                )
            })?;
            if facts.is_symlink() {
                links += 1;
                ensure!(
                    links <= MAX_LINKS,
                    "/{} leads in a circle of links",
                    inside.trim_start_matches('/')
                );
                let target = fs::read_link(&here)?;
                if target.is_absolute() {
                    at.clear();
                } else {
                    at.pop();
                }
                words(&target).rev().for_each(|word| left.push_front(word));
            }
        }
        Ok(self.0.join(at.iter().collect::<PathBuf>()))
    }

    /// The first of several paths that is a regular file.
    pub fn first_file(&self, candidates: &[&str]) -> Result<PathBuf> {
        let found = candidates
            .iter()
            .filter_map(|path| self.resolve(path).ok())
            .find(|path| path.is_file());
        found.with_context(|| format!("the root has no /{}", candidates.join(" and no /")))
    }

    /// Kernel release of `/boot/vmlinuz`, whose modules must be in the root.
    pub fn kernel_version(&self) -> Result<String> {
        let kernel = self.first_file(&["boot/vmlinuz"])?;
        let version = kernel_release(&mut File::open(&kernel)?)
            .with_context(|| format!("reading the version of {}", kernel.display()))?;
        let modules = format!("lib/modules/{version}");
        ensure!(
            self.resolve(&modules).is_ok_and(|path| path.is_dir()),
            "/boot/vmlinuz is {version}, but the root has no /{modules}"
        );
        Ok(version)
    }

    /// Refuses a root that carries the identity of one machine: every host installed from it would share it.
    pub fn refuse_identity(&self) -> Result<()> {
        let found = self.identities()?;
        if found.is_empty() {
            return Ok(());
        }
        bail!(
            "the root carries the identity of one machine, which every host would share; remove {}",
            found.join(", ")
        )
    }

    fn identities(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for path in ["etc/machine-id", "var/lib/dbus/machine-id"] {
            if self.is_machine_id(path)? {
                found.push(format!("/{path}"));
            }
        }
        for path in [
            "var/lib/systemd/random-seed",
            "var/lib/urandom/random-seed",
            "var/lib/systemd/credential.secret",
        ] {
            if self.0.join(path).symlink_metadata().is_ok() {
                found.push(format!("/{path}"));
            }
        }
        let mut keys = match fs::read_dir(self.0.join("etc/ssh")) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context("reading /etc/ssh of the root"),
        };
        keys.retain(|name| {
            name.starts_with("ssh_host_") && (name.ends_with("_key") || name.ends_with("_key.pub"))
        });
        keys.sort();
        found.extend(keys.iter().map(|name| format!("/etc/ssh/{name}")));
        Ok(found)
    }

    /// An empty file and the word `uninitialized` are no identity (machine-id(5)); a link leads to one that
    /// is looked at anyway.
    fn is_machine_id(&self, path: &str) -> Result<bool> {
        let file = self.0.join(path);
        match fs::symlink_metadata(&file) {
            Ok(facts) if facts.is_file() => {
                let text =
                    fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
                Ok(!matches!(text.trim_ascii(), b"" | b"uninitialized"))
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }
}

fn words(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(word) => Some(word.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

/// The first word of the version string of a bzImage (`Documentation/arch/x86/boot.rst`: `kernel_version`).
fn kernel_release(kernel: &mut (impl Read + Seek)) -> Result<String> {
    let mut header = [0; 0x210];
    kernel
        .read_exact(&mut header)
        .context("the file is too short for a kernel")?;
    ensure!(
        &header[0x202..0x206] == b"HdrS",
        "it is not an x86 kernel (bzImage)"
    );
    let pointer = u16::from_le_bytes([header[0x20e], header[0x20f]]);
    ensure!(pointer != 0, "the kernel does not name its version");
    kernel.seek(SeekFrom::Start(u64::from(pointer) + 0x200))?;
    let mut text = Vec::new();
    kernel.take(256).read_to_end(&mut text)?;
    let word = text
        .split(|byte| matches!(byte, 0 | b' '))
        .next()
        .unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+_~".contains(byte);
    ensure!(
        !word.is_empty() && word.iter().all(plain),
        "the kernel's version is not readable"
    );
    Ok(String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};
    use std::os::unix::fs::symlink;

    use super::*;

    fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, ProviderRoot) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path)
                .unwrap()
                .write_all(content.as_bytes())
                .unwrap();
        }
        let root = ProviderRoot::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let (_folder, root) = root_with(&[("usr/lib/a", "")]);
        let link = |target: &str, at: &str| symlink(target, root.path().join(at)).unwrap();
        link("/usr/lib/a", "absolute");
        link("usr/../usr/lib/a", "relative");
        link("../../../../usr/lib/a", "above");
        link("usr/lib", "lib");
        link("/lib/a", "twice");
        link("circle", "circle");
        let wanted = root.path().join("usr/lib/a");
        for path in [
            "usr/lib/a",
            "/absolute",
            "relative",
            "above",
            "lib/a",
            "twice",
        ] {
            assert_eq!(root.resolve(path).unwrap(), wanted, "{path}");
        }
        assert_eq!(
            root.resolve("circle").unwrap_err().to_string(),
            "/circle leads in a circle of links"
        );
        assert_eq!(root.first_file(&["no", "lib/a"]).unwrap(), wanted);
        assert_eq!(
            root.first_file(&["no", "usr"]).unwrap_err().to_string(),
            "the root has no /no and no /usr"
        );
    }

    #[test]
    fn a_root_with_the_identity_of_a_machine_is_refused_by_file() {
        let cases = [
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            (
                "var/lib/dbus/machine-id",
                "0123456789abcdef0123456789abcdef\n",
            ),
            ("var/lib/systemd/random-seed", ""),
            ("etc/ssh/ssh_host_rsa_key", ""),
            ("etc/ssh/ssh_host_ed25519_key.pub", ""),
        ];
        for (path, content) in cases {
            let (_folder, root) = root_with(&[(path, content)]);
            let message = root.refuse_identity().unwrap_err().to_string();
            let wanted = "the root carries the identity of one machine, which every host would share; remove /";
            assert_eq!(message, format!("{wanted}{path}"));
        }
    }

    #[test]
    fn a_root_without_an_identity_passes() {
        for content in ["", "\n", "uninitialized\n"] {
            let (_folder, root) =
                root_with(&[("etc/machine-id", content), ("etc/ssh/sshd_config", "")]);
            fs::create_dir_all(root.path().join("var/lib/dbus")).unwrap();
            symlink(
                "/etc/machine-id",
                root.path().join("var/lib/dbus/machine-id"),
            )
            .unwrap();
            root.refuse_identity().unwrap();
        }
    }

    #[test]
    fn the_kernel_release_comes_from_the_kernel_itself() {
        let kernel = |magic: &[u8], pointer: u16, text: &[u8]| {
            let mut bytes = vec![0; 0x600];
            bytes[0x202..0x206].copy_from_slice(magic);
            bytes[0x20e..0x210].copy_from_slice(&pointer.to_le_bytes());
            bytes[0x500..0x500 + text.len()].copy_from_slice(text);
            kernel_release(&mut Cursor::new(bytes)).map_err(|error| error.to_string())
        };
        let text = b"6.1.0-49-amd64 (debian) #1 SMP";
        assert_eq!(kernel(b"HdrS", 0x300, text).unwrap(), "6.1.0-49-amd64");
        assert_eq!(
            kernel(b"xxxx", 0x300, text).unwrap_err(),
            "it is not an x86 kernel (bzImage)"
        );
        assert_eq!(
            kernel(b"HdrS", 0, text).unwrap_err(),
            "the kernel does not name its version"
        );
        assert_eq!(
            kernel(b"HdrS", 0x300, b"\xff").unwrap_err(),
            "the kernel's version is not readable"
        );
        assert_eq!(
            kernel(b"HdrS", 0xffff, text).unwrap_err(),
            "the kernel's version is not readable"
        );
        assert!(kernel_release(&mut Cursor::new([0; 3])).is_err());
    }
}
