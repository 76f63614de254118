//! Work inside another root, and the way back.

use std::fs::{self, File};
use std::os::unix::fs::chroot;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::{Host, Mount};

/// What commands of an operator may expect to find.
const BOUND: [&str; 4] = ["dev", "proc", "sys", "run"];

/// Carries out `work` with `root` as `/` of this process; for `/` itself simply carries it out.
///
/// The first error stays the first: one of the way back comes only if all else went well.
pub(super) fn within<H: Host>(root: &Path, host: &mut H, work: impl FnOnce(&mut H)) -> Result<()> {
    if root == Path::new("/") {
        work(host);
        return Ok(());
    }
    let mut bound = Vec::new();
    let result = bind(root, host, &mut bound).and_then(|()| enter(root, || work(host)));
    let mut undone = Ok(());
    for at in bound.iter().rev() {
        let left = host.unmount(at);
        undone = undone.and(left);
    }
    result.and(undone)
}

fn bind(root: &Path, host: &mut impl Host, bound: &mut Vec<PathBuf>) -> Result<()> {
    for name in BOUND {
        let at = root.join(name);
        if !at.is_dir() {
            fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
        }
        host.mount(&Mount::bind(Path::new("/").join(name), &at))?;
        bound.push(at);
    }
    Ok(())
}

fn enter(root: &Path, work: impl FnOnce()) -> Result<()> {
    // The way back: a root that is held open can be returned to from inside another.
    let outside = File::open("/").context("opening /")?;
    chroot(root).with_context(|| format!("changing the root to {}", root.display()))?;
    let inside = std::env::set_current_dir("/").context("entering the new root");
    if inside.is_ok() {
        work();
    }
    nix::unistd::fchdir(&outside).context("returning to the old root")?;
    chroot(".").context("returning to the old root")?;
    inside
}
