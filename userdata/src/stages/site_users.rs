//! `stylus.site.users`: the accounts that a host needs before any other step (`reference/palette.md` 1.7).

use super::{SITE_USER, Step, read_site_users};
use crate::finding::Findings;
use crate::key_path::KeyPath;
use crate::schema::{Shape, check};
use crate::tree::Node;

/// The stage in which they are made.
pub(crate) const STAGE: &str = "initramfs";

/// The step that makes them, if the document has any.
pub(crate) fn read(document: &Node, findings: &mut Findings) -> Option<Step> {
    let site = document.at(&["stylus", "site"])?;
    let node = site.at(&["users"])?;
    let (top, errors) = (KeyPath::top("stylus"), findings.errors());
    let site_path = top.key("site");
    let path = site_path.key("users");
    check(node, Shape::ObjectsOrNamed(&SITE_USER), &path, findings);
    if findings.errors() > errors {
        return None;
    }
    let users = read_site_users(node, &path, findings);
    (!users.is_empty()).then(|| Step {
        name: Some("stylus.site.users".to_owned()),
        line: site.entry("users").map_or(0, |entry| entry.position.line),
        users,
        ..Step::default()
    })
}
