//! Paths that stay inside a root.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Says why a path from a configuration cannot be a mount point; `None` if it can.
///
/// Nothing is normalised: a path that is not clean is a mistake or an attack, and its author should hear of it.
pub(crate) fn refuse(path: &str) -> Option<&'static str> {
    let bytes = path.as_bytes();
    if bytes.len() > 1024 {
        return Some("it is longer than 1024 bytes");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Some("it holds a control character");
    }
    // fstab, mount options and the layout variables have these as separators.
    if path.contains([' ', ',', ':', '\\', '"', '\'', '$', '`', '#']) {
        return Some("it holds a blank or one of , : \\ \" ' $ ` #");
    }
    let Some(inside) = path.strip_prefix('/') else {
        return Some("it is not absolute");
    };
    if inside
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Some("it is / itself or holds an empty part, . or ..");
    }
    let reserved = [
        "/dev",
        "/proc",
        "/sys",
        "/run",
        "/oem",
        "/usr",
        "/boot",
        "/usr/local",
    ];
    let kernel_trees = ["/dev/", "/proc/", "/sys/", "/run/"];
    if reserved.contains(&path) || kernel_trees.iter().any(|tree| path.starts_with(tree)) {
        return Some("it belongs to the system");
    }
    None
}

/// Follows the symbolic links of an absolute path as if `root` were `/`; parts that do not exist stay as they are.
///
/// The result is absolute inside the root and free of links. `None` for a loop of links. The image is read-only, so
/// nothing can change between this look and the mount.
pub(crate) fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut todo: VecDeque<OsString> = parts(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let Ok(target) = fs::read_link(root.join(next.strip_prefix("/").unwrap_or(&next))) else {
            done = next;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        for part in parts(&target).into_iter().rev() {
            todo.push_front(part);
        }
    }
    Some(done)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn paths_that_are_not_clean_are_refused_with_a_reason() {
        let bad = [
            "",
            "/",
            "etc",
            "/etc/",
            "//etc",
            "/a/../b",
            "/a/.",
            "/a b",
            "/a,b",
            "/a:b",
            "/a\nb",
            "/a\0b",
            "/run/x",
            "/proc",
            "/usr",
            "/usr/local",
            "/oem",
            "/$HOME",
        ];
        for path in bad {
            assert!(refuse(path).is_some(), "{path:?}");
        }
        for path in [
            "/eks-hybrid",
            "/etc/aws",
            "/var/lib/amazon",
            "/a-b_c.d",
            "/usr/libexec",
            "/runner",
        ] {
            assert_eq!(refuse(path), None, "{path}");
        }
        assert!(refuse(&format!("/{}", "x".repeat(4096))).is_some());
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let tree = Tree::new();
        tree.file("root/var/home/.keep", b"");
        tree.link("root/home", "/var/home");
        tree.link("root/out", "../../../../etc");
        tree.link("root/a/up", "../home");
        tree.link("root/loop", "loop");
        let table = [
            ("/home", Some("/var/home")),
            ("/home/kairos", Some("/var/home/kairos")),
            ("/out/passwd", Some("/etc/passwd")),
            ("/a/up/x", Some("/var/home/x")),
            ("/missing/deep", Some("/missing/deep")),
            ("/loop", None),
        ];
        for (path, expected) in table {
            let resolved = resolve(&tree.at("root"), Path::new(path));
            assert_eq!(resolved.as_deref(), expected.map(Path::new), "{path}");
        }
    }
}
