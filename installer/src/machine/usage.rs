//! Who uses a disk: mounts, swap, and devices that stand on it.

use std::fs;
use std::path::Path;

/// Everything that uses the disk at `entry` (its folder in sysfs) or one of its partitions.
pub(super) fn of(entry: &Path, sys: &Path, dev: &Path, name: &str) -> Vec<String> {
    let nodes = nodes(entry, sys, dev, name);
    let mut users = Vec::new();
    for node in &nodes {
        users.extend(holders(sys, node));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    users.extend(mounted(&mounts, &nodes, dev));
    users.extend(swapped(&swaps, &nodes, dev));
    users
}

/// The disk, a partition of it, or a loop device over it.
#[derive(Debug)]
struct Node {
    name: String,
    /// `major:minor`; empty if sysfs does not say it.
    number: String,
}

fn nodes(entry: &Path, sys: &Path, dev: &Path, name: &str) -> Vec<Node> {
    let node = |folder: &Path, name: &str| Node {
        name: name.to_owned(),
        number: text(&folder.join("dev")),
    };
    let mut nodes = vec![node(entry, name)];
    for (name, path) in folders(entry) {
        if path.join("partition").exists() {
            nodes.push(node(&path, &name));
        }
    }
    let beneath = dev.join(name);
    for (name, path) in folders(&sys.join("block")) {
        let backing = text(&path.join("loop/backing_file"));
        if !backing.is_empty() && Path::new(&backing) == beneath {
            nodes.push(node(&path, &name));
        }
    }
    nodes
}

/// Devices of the device mapper and of MD that stand on a node.
fn holders(sys: &Path, node: &Node) -> Vec<String> {
    let place = sys.join("class/block").join(&node.name).join("holders");
    let said = |(name, _): (String, _)| {
        let mapped = text(&sys.join("block").join(&name).join("dm/name"));
        if mapped.is_empty() {
            format!("{name} stands on {}", node.name)
        } else {
            format!("{name} ({mapped}) stands on {}", node.name)
        }
    };
    folders(&place).into_iter().map(said).collect()
}

/// Lines of `/proc/self/mountinfo` (proc(5)): the third word is the number of the device, the fifth the mount point, and
/// behind the dash stand type and source.
fn mounted(mountinfo: &str, nodes: &[Node], dev: &Path) -> Vec<String> {
    let mut users = Vec::new();
    for line in mountinfo.lines() {
        let mut words = line.split(' ');
        let (Some(number), Some(at)) = (words.nth(2), words.nth(1)) else {
            continue;
        };
        let source = words
            .skip_while(|word| *word != "-")
            .nth(2)
            .unwrap_or_default();
        // A btrfs has a number of its own, so its source is compared as well.
        let node = nodes
            .iter()
            .find(|node| node.number == number || Path::new(source) == dev.join(&node.name));
        users.extend(node.map(|node| format!("{} is mounted at {at}", node.name)));
    }
    users
}

/// Lines of `/proc/swaps`, the first of which is a title.
fn swapped(swaps: &str, nodes: &[Node], dev: &Path) -> Vec<String> {
    let used = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    let used: Vec<&Path> = used.map(Path::new).collect();
    let swap = |node: &&Node| used.contains(&dev.join(&node.name).as_path());
    nodes
        .iter()
        .filter(swap)
        .map(|node| format!("{} is used as swap", node.name))
        .collect()
}

/// The entries of a folder in sysfs, sorted by name.
fn folders(place: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect();
    all.sort();
    all
}

fn text(path: &Path) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<Node> {
        [("sda", "8:0"), ("sda2", "8:2")]
            .map(|(name, number)| Node {
                name: name.to_owned(),
                number: number.to_owned(),
            })
            .into()
    }

    #[test]
    fn a_mount_is_found_by_its_number_or_by_its_source() {
        let mountinfo = "22 1 8:2 / /data rw,noatime shared:1 - ext4 /dev/root rw\n\
                         23 1 0:44 /sub /b rw - btrfs /dev/sda rw\n\
                         24 1 8:18 / /other rw shared:2 master:3 - ext4 /dev/sdb2 rw\n";
        let users = mounted(mountinfo, &nodes(), Path::new("/dev"));
        assert_eq!(users, ["sda2 is mounted at /data", "sda is mounted at /b"]);
        assert_eq!(mounted("short\n\n", &nodes(), Path::new("/dev")), [""; 0]);
    }

    #[test]
    fn swap_is_found_by_its_node() {
        let swaps = "Filename\t\tType\n/dev/sda2  partition  1 0 -2\n/dev/sdb1 partition 1 0 -3\n";
        assert_eq!(
            swapped(swaps, &nodes(), Path::new("/dev")),
            ["sda2 is used as swap"]
        );
    }
}
