//! `/etc/fstab` of the booted system: what the initramfs mounted, so that systemd knows why it is there.

use host::Mount;

use crate::paths::Paths;

/// Renders mounts as fstab(5) lines with pass number 0: everything was checked before it was mounted.
///
/// The root is left out. An entry for `/` makes systemd remount it, and newer kernels refuse to reconfigure an overlay.
pub(crate) fn render(mounts: &[Mount], paths: &Paths) -> String {
    let mut text = String::from("# Written at every boot by landfall; changes are lost.\n");
    for mount in mounts {
        let at = paths.as_booted(&mount.target);
        if at.parent().is_none() {
            continue;
        }
        let source = paths.as_booted(&mount.source);
        let mut options = vec![if mount.read_only { "ro" } else { "rw" }.to_owned()];
        if mount.bind {
            options = vec!["bind".to_owned()];
        }
        if !mount.options.is_empty() {
            options.push(without_prefixes(&mount.options, paths));
        }
        let kind = if mount.bind { "none" } else { &mount.fstype };
        let fields = [
            escape(&source.to_string_lossy()),
            escape(&at.to_string_lossy()),
            kind.to_owned(),
            escape(&options.join(",")),
        ];
        text.push_str(&fields.join(" "));
        text.push_str(" 0 0\n");
    }
    text
}

/// The layers of an overlay are told as the booted system sees them.
fn without_prefixes(options: &str, paths: &Paths) -> String {
    let told = |path: &str| paths.as_booted(path.as_ref()).display().to_string();
    let part = |option: &str| match option.split_once('=') {
        Some((key @ ("lowerdir" | "upperdir" | "workdir"), layers)) => {
            let layers: Vec<String> = layers.split(':').map(told).collect();
            format!("{key}={}", layers.join(":"))
        }
        _ => option.to_owned(),
    };
    let parts: Vec<String> = options.split(',').map(part).collect();
    parts.join(",")
}

/// Blanks and backslashes are octal in fstab(5).
fn escape(field: &str) -> String {
    let mut escaped = String::with_capacity(field.len());
    for letter in field.chars() {
        match letter {
            ' ' => escaped.push_str("\\040"),
            '\t' => escaped.push_str("\\011"),
            '\n' => escaped.push_str("\\012"),
            '\\' => escaped.push_str("\\134"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_but_the_root_has_a_line() {
        let mounts = [
            Mount::new("overlay", "/sysroot", "overlay")
                .read_only()
                .options("lowerdir=/a:/b"),
            Mount::new("/dev/vda5", "/run/initramfs/cos-state", "ext4").read_only(),
            Mount::new("/dev/vda3", "/sysroot/oem", "ext4"),
            Mount::new("overlay", "/sysroot/etc", "overlay")
                .options("lowerdir=/run/landfall/image/etc,upperdir=/run/u,workdir=/run/w"),
            Mount::bind("/sysroot/usr/local/.state/a b.bind", "/sysroot/a b"),
        ];
        assert_eq!(
            render(&mounts, &Paths::default()),
            "# Written at every boot by landfall; changes are lost.\n\
             /dev/vda5 /run/initramfs/cos-state ext4 ro 0 0\n\
             /dev/vda3 /oem ext4 rw 0 0\n\
             overlay /etc overlay rw,lowerdir=/run/landfall/image/etc,upperdir=/run/u,workdir=/run/w 0 0\n\
             /usr/local/.state/a\\040b.bind /a\\040b none bind 0 0\n"
        );
    }
}
