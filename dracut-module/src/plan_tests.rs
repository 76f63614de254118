//! Plans over temporary trees.

use super::*;
use crate::cmdline::BootArgs;
use crate::layout::{InstallLists, decide, parse_env};
use crate::testing::Tree;

const IMAGE: &str = "run/landfall/image";

fn image() -> Tree {
    let tree = Tree::new();
    for path in [
        "boot",
        "dev",
        "etc",
        "home",
        "mnt",
        "oem",
        "opt",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr/local",
        "var/lib",
        "var/log",
        "etc/ssh",
    ] {
        std::fs::create_dir_all(tree.at(IMAGE).join(path)).unwrap();
    }
    tree
}

fn make(tree: &Tree, variables: &str, extra_dirs: &[&str]) -> RootPlan {
    let install = InstallLists {
        extra_dirs: extra_dirs.iter().map(|path| (*path).to_owned()).collect(),
        ..InstallLists::default()
    };
    let layout = decide(&parse_env(variables), &install, &BootArgs::default());
    let survey = Survey::of(&tree.paths.image(), &wanted(&layout));
    let persistent = Volume {
        name: "COS_PERSISTENT".into(),
        device: Some("/dev/vda6".into()),
        read_only: false,
    };
    plan(&layout, &survey, &persistent, &[], &tree.paths)
}

/// The plan as text, without the place of the temporary tree.
fn told(tree: &Tree, plan: &RootPlan) -> Vec<String> {
    let prefix = tree.paths.prefix.display().to_string();
    plan.steps
        .iter()
        .map(|step| step.to_string().replace(&prefix, ""))
        .collect()
}

fn extra(plan: &RootPlan) -> Vec<(String, u32)> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::ExtraLayer { directories } => Some(directories),
            _ => None,
        })
        .flatten()
        .map(|made| (made.path.display().to_string(), made.attributes.mode))
        .collect()
}

#[test]
fn a_plan_is_this_list_in_this_order() {
    let tree = image();
    let plan = make(
        &tree,
        "PERSISTENT_STATE_PATHS=\"/var/log /opt /var/lib/cni\"",
        &["/eks-hybrid"],
    );
    assert_eq!(
        told(&tree, &plan),
        [
            "mount tmpfs on /run/landfall/extra (tmpfs, rw)",
            "make 4 directories for the extra layer",
            "mount overlay on /sysroot (overlay, ro)",
            "move COS_OEM into the root",
            "check COS_PERSISTENT and mount it on /sysroot/usr/local",
            "mount tmpfs on /sysroot/tmp (tmpfs, rw)",
            "mount tmpfs on /run/overlay (tmpfs, rw)",
            "lay a writable overlay over /sysroot/etc",
            "lay a writable overlay over /sysroot/srv",
            "lay a writable overlay over /sysroot/var",
            "make /opt persistent",
            "make /var/lib/cni persistent",
            "make /var/log persistent",
            "restore the machine-id",
            "write /etc/fstab",
        ]
    );
    assert_eq!(plan.refused, Vec::<String>::new());
    assert_eq!(
        plan,
        make(
            &tree,
            "PERSISTENT_STATE_PATHS=\"/var/log /opt /var/lib/cni\"",
            &["/eks-hybrid"]
        )
    );
}

#[test]
fn the_extra_layer_has_what_the_image_lacks_and_looks_like_the_image_where_both_have_it() {
    use std::os::unix::fs::PermissionsExt;
    let tree = image();
    let etc = tree.at(IMAGE).join("etc");
    std::fs::set_permissions(etc, std::fs::Permissions::from_mode(0o751)).unwrap();
    let plan = make(
        &tree,
        "PERSISTENT_STATE_PATHS=\"/etc/cni /etc/ssh /root\"",
        &["/eks-hybrid/deep", "/opt"],
    );
    assert_eq!(
        extra(&plan),
        [
            ("/eks-hybrid".to_owned(), 0o755),
            ("/eks-hybrid/deep".to_owned(), 0o755),
            ("/etc".to_owned(), 0o751),
            ("/etc/cni".to_owned(), 0o755),
        ]
    );
}

#[test]
fn an_image_that_has_everything_needs_no_extra_directory() {
    let tree = image();
    let plan = make(&tree, "PERSISTENT_STATE_PATHS=/opt", &["/opt"]);
    assert!(extra(&plan).is_empty());
    assert!(told(&tree, &plan).contains(&"mount overlay on /sysroot (overlay, ro)".to_owned()));
}

#[test]
fn an_overlay_lies_over_the_layers_themselves() {
    let tree = image();
    let plan = make(
        &tree,
        "PERSISTENT_STATE_PATHS=\"/etc/cni\"\nRW_PATHS=\"/etc /var /new\"",
        &[],
    );
    let prefix = tree.paths.prefix.display().to_string();
    let options: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Overlay { mount, .. } => Some(mount.options.replace(&prefix, "")),
            _ => None,
        })
        .collect();
    let work = |name: &str| {
        format!(
            "upperdir=/run/overlay/{name}/.overlay/upper,workdir=/run/overlay/{name}/.overlay/work"
        )
    };
    assert_eq!(
        options,
        [
            format!(
                "lowerdir=/run/landfall/extra/etc:/run/landfall/image/etc,{}",
                work("etc")
            ),
            format!("lowerdir=/run/landfall/extra/new,{}", work("new")),
            format!("lowerdir=/run/landfall/image/var,{}", work("var")),
        ]
    );
}

#[test]
fn persistent_paths_have_the_names_that_machines_in_the_field_have() {
    let tree = image();
    tree.link("run/landfall/image/srv/link", "/var/lib");
    let plan = make(
        &tree,
        "PERSISTENT_STATE_PATHS=\"/var/log /srv/link/x\"",
        &[],
    );
    let prefix = tree.paths.prefix.display().to_string();
    let binds: Vec<(String, String, bool)> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Persist {
                store, at, seed, ..
            } => Some((
                store.display().to_string().replace(&prefix, ""),
                at.display().to_string().replace(&prefix, ""),
                seed.is_some(),
            )),
            _ => None,
        })
        .collect();
    let state = "/sysroot/usr/local/.state";
    assert_eq!(
        binds,
        [
            (
                format!("{state}/srv-link-x.bind"),
                "/sysroot/var/lib/x".to_owned(),
                false
            ),
            (
                format!("{state}/var-log.bind"),
                "/sysroot/var/log".to_owned(),
                true
            ),
        ]
    );
}

#[test]
fn a_path_that_cannot_be_is_left_out_with_a_reason_and_its_neighbours_are_not() {
    let tree = image();
    tree.file("run/landfall/image/etc/hosts", b"");
    let plan = make(
        &tree,
        "PERSISTENT_STATE_PATHS=\"/a/../b /proc/x /etc/hosts/x /opt /a-b /a/b\"",
        &["relative"],
    );
    assert_eq!(
        plan.refused,
        [
            "\"relative\" is left out: it is not absolute",
            "\"/a/../b\" is left out: it is / itself or holds an empty part, . or ..",
            "/a-b is left out: it would share a-b.bind with /a/b",
            "/etc/hosts/x is left out: /etc/hosts is not a directory in the image",
            "\"/proc/x\" is left out: it belongs to the system",
        ]
    );
    let lines = told(&tree, &plan);
    assert!(lines.contains(&"make /opt persistent".to_owned()));
    assert!(lines.contains(&"make /a/b persistent".to_owned()));
}

#[test]
fn the_seven_writable_paths_leave_the_persistent_partition_alone() {
    let tree = image();
    let plan = make(&tree, "RW_PATHS=", &[]);
    let lines = told(&tree, &plan);
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("overlay over /sysroot/home"))
    );
    assert!(
        !lines
            .iter()
            .any(|line| line.ends_with("overlay over /sysroot/usr/local"))
    );
}
