//! Paths and names that may be written elsewhere: into fstab, an environment file, a shell-free passwd line.
//!
//! What does not fit is refused and never normalised: a path that was silently changed is not the one its author
//! wrote down.

use crate::finding::{Findings, Rule};
use crate::key_path::KeyPath;
use crate::tree::Node;

/// Longest path the kernel takes, in bytes without the final NUL.
const MAX_PATH: usize = 4095;

/// Says why a path is not absolute and clean, and what to write.
pub(crate) fn path_fault(path: &str) -> Option<(String, String)> {
    let absolute = "write an absolute path such as `/etc/containerd`".to_owned();
    if path.is_empty() {
        return Some(("the path is empty".to_owned(), absolute));
    }
    if path.chars().any(char::is_control) {
        return Some((
            "the path has a control character".to_owned(),
            "remove it".to_owned(),
        ));
    }
    if !path.starts_with('/') {
        return Some((format!("the path `{path}` is not absolute"), absolute));
    }
    if path.len() > MAX_PATH {
        return Some((
            format!("the path is longer than {MAX_PATH} bytes"),
            "shorten it".to_owned(),
        ));
    }
    let parts = || path.split('/').skip(1);
    if parts().any(|part| part == "..") {
        return Some((
            format!("the path `{path}` has a `..`"),
            "write where it leads to".to_owned(),
        ));
    }
    if path != "/" && parts().any(|part| part.is_empty() || part == ".") {
        let clean: String = parts()
            .filter(|part| !part.is_empty() && *part != ".")
            .flat_map(|part| ["/", part])
            .collect();
        return Some((
            format!("the path `{path}` is not clean"),
            format!("write `{clean}`"),
        ));
    }
    None
}

/// Says why a path cannot be a mount point that is listed between blanks in an environment file.
fn mount_fault(path: &str) -> Option<(String, String)> {
    if let Some(fault) = path_fault(path) {
        return Some(fault);
    }
    if path == "/" {
        return Some((
            "`/` itself cannot be mounted over".to_owned(),
            "write a directory below it".to_owned(),
        ));
    }
    let forbidden =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '$' | '`' | ':' | ',');
    let found = path.chars().find(|&c| forbidden(c))?;
    Some((
        format!(
            "the path `{path}` has `{found}`, which fstab and environment files read otherwise"
        ),
        "use another name".to_owned(),
    ))
}

/// Checks a path that is written to (rule U24).
pub(crate) fn check_path(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    report(node, node.as_text().and_then(path_fault), path, findings);
}

/// Checks a path that is mounted (rule U24).
pub(crate) fn check_mount_path(node: &Node, path: &KeyPath<'_>, findings: &mut Findings) {
    report(node, node.as_text().and_then(mount_fault), path, findings);
}

fn report(
    node: &Node,
    fault: Option<(String, String)>,
    path: &KeyPath<'_>,
    findings: &mut Findings,
) {
    if let Some((reason, advice)) = fault {
        findings.error(Rule::Path, node.position, path, &reason, &advice);
    }
}

/// Whether a text can be the name of a user or group in `/etc/passwd` (as `useradd` takes it, upper case allowed).
pub(crate) fn is_account_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    (1..=32).contains(&name.len()) && !name.starts_with(['-', '.']) && name.chars().all(allowed)
}

/// Whether a text can be a field of `/etc/passwd`: no colon, no control character.
pub(crate) fn is_passwd_field(text: &str) -> bool {
    !text.contains(':') && !text.chars().any(char::is_control)
}

/// Whether a text is a host name: labels of letters, digits and dashes, at most 63 each and 253 together (RFC 1123).
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_clean_paths_pass() {
        for good in ["/", "/a", "/etc/modules-load.d", "/a b", "/...", "/a/..b"] {
            assert_eq!(path_fault(good), None, "{good:?}");
        }
        for bad in [
            "", "a", "./a", "/a/../b", "/..", "/a//b", "/a/", "/./a", "//", "/a\n", "/a\0b", "~/x",
        ] {
            assert!(path_fault(bad).is_some(), "{bad:?}");
        }
        assert!(path_fault(&format!("/{}", "x".repeat(MAX_PATH))).is_some());
        assert_eq!(path_fault("/a//b/./c/").unwrap().1, "write `/a/b/c`");
    }

    #[test]
    fn a_mount_path_stays_one_word_wherever_it_is_listed() {
        for bad in ["/", "/a b", "/a\"", "/$(x)", "/a\\", "/a`", "/a:b", "/a,ro"] {
            assert!(mount_fault(bad).is_some(), "{bad:?}");
        }
        assert_eq!(mount_fault("/var/lib/amazon"), None);
    }

    #[test]
    fn account_names_fit_a_passwd_line() {
        for good in ["kairos", "_x", "a.b", "svc$", "A1"] {
            assert!(is_account_name(good), "{good:?}");
        }
        for bad in ["", "-x", "a:b", "a b", "a/b", "a\n", "ä", &"x".repeat(33)] {
            assert!(!is_account_name(bad), "{bad:?}");
        }
    }
}
