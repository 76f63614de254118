//! Whole assemblies with a host that only remembers.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use host::{Argv, Linux, Recorder};
use image::slot::{Content, Label, compose};
use image::{Digest, ImageId};

use super::*;
use crate::testing::{Tree, put};

const STATE_ID: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// Writes a slot image around a root and returns its id.
pub(crate) fn write_slot(file: &Path, root: &Path) -> ImageId {
    let content = Content {
        root: Digest::of(&fs::read(root).unwrap()),
        kernel: Digest::of(b"kernel"),
        base_initrd: Digest::of(b"initrd"),
        bootargs: b"",
        version: "1",
    };
    let label = Label {
        image_id: content.image_id(),
        version: "1",
        build: "test",
        kernel_version: "6.1.0",
    };
    put(&file.with_extension("head"), &[0; 4096]);
    put(file, b"");
    let mut head = fs::File::open(file.with_extension("head")).unwrap();
    let mut root = fs::File::open(root).unwrap();
    let mut out = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    compose(&mut head, &mut root, &mut out, &label).unwrap();
    fs::remove_file(file.with_extension("head")).unwrap();
    label.image_id
}

/// A machine as the initramfs finds it: command line, sysfs, an id; the partitions are empty files.
pub(super) fn machine(id: ImageId) -> Tree {
    let tree = Tree::new();
    let line = format!(
        "root=LABEL=COS_ACTIVE cos-img/filename=/cOS/active.img landfall.state={STATE_ID} quiet\n"
    );
    tree.file("proc/cmdline", line.as_bytes());
    tree.file("etc/landfall/image-id", format!("{id}\n").as_bytes());
    for (number, name) in [(3, "oem"), (5, "state"), (6, "persistent")] {
        let more = if number == 5 {
            format!("PARTUUID={STATE_ID}\n")
        } else {
            String::new()
        };
        tree.partition("vda", &format!("vda{number}"), number, name, &more);
    }
    tree
}

/// A machine whose mounts are only remembered: what they would show lies in the tree already.
fn remembered() -> Tree {
    let scratch = Tree::new();
    scratch.file("root.img", &[7; 4096]);
    let id = write_slot(&scratch.at("active.img"), &scratch.at("root.img"));
    let tree = machine(id);
    tree.file(
        "run/initramfs/cos-state/cOS/active.img",
        &fs::read(scratch.at("active.img")).unwrap(),
    );
    tree.file("run/landfall/image/etc/ssh/sshd_config", b"#\n");
    tree.file(
        "run/landfall/oem/90_custom.yaml",
        b"#cloud-config\ninstall:\n  extra-dirs-rootfs: [/eks-hybrid]\n  bind_mounts: [/eks-hybrid]\n",
    );
    // A short list: every request is failed once, and each failure is a whole assembly.
    tree.file(
        "run/cos/cos-layout.env",
        b"PERSISTENT_STATE_PATHS=\"/etc/ssh /opt\"\n",
    );
    fs::create_dir_all(tree.at("sysroot/etc")).unwrap();
    tree
}

#[test]
fn whatever_request_fails_there_is_a_root_or_everything_is_undone() {
    let tree = remembered();
    let mut whole = Recorder::default();
    assemble(&mut whole, &tree.paths).unwrap();
    let mut refused = Vec::new();
    for n in 0..whole.calls.len() {
        let tree = remembered();
        let mut host = Recorder::failing_at(n);
        match assemble(&mut host, &tree.paths) {
            Ok(report) => assert!(
                !report.lost.is_empty()
                    || report
                        .steps
                        .iter()
                        .any(|step| step.error.is_some() || !step.notes.is_empty()),
                "request {n} failed and nobody was told"
            ),
            Err(error) => {
                assert!(
                    host.mounted.is_empty() && host.loops.is_empty(),
                    "request {n}: {error:#}"
                );
                let text = error.to_string();
                refused.push(text.get(..6).unwrap().to_owned());
                let json = fs::read_to_string(tree.at("run/landfall/sysroot.json")).unwrap();
                assert!(json.contains(&refused[refused.len() - 1]), "{json}");
            }
        }
    }
    // State, loop, image; then the layer and the overlay that are the root. Nothing else ends a boot.
    assert_eq!(refused, ["LF-B04", "LF-B06", "LF-B06", "LF-B06", "LF-B06"]);
}

#[test]
fn the_stage_rootfs_sees_oem_also_where_the_initramfs_has_a_directory_of_that_name() {
    for has_directory in [false, true] {
        let tree = remembered();
        let mark = tree.at("mark");
        let text = format!(
            "#cloud-config\nstages:\n  rootfs:\n    - files: [{{path: {}, content: x}}]\n",
            mark.display()
        );
        tree.file("run/landfall/oem/50.yaml", text.as_bytes());
        if has_directory {
            fs::create_dir(tree.at("oem")).unwrap();
        }
        assemble(&mut Recorder::default(), &tree.paths).unwrap();
        assert!(mark.exists(), "with a directory: {has_directory}");
    }
}

#[test]
fn a_secret_in_a_command_reaches_no_file_but_the_one_for_root() {
    let tree = remembered();
    tree.file(
        "run/landfall/oem/91.yaml",
        b"#cloud-config\nstages:\n  rootfs:\n    - commands: ['TOKEN=hunter2; set -x; echo $TOKEN; exit 3']\n",
    );
    let mut host = WithShell(Recorder::default());
    let report = assemble(&mut host, &tree.paths).unwrap();
    assert!(
        format!("{report:?}").contains("command 1 of the step at line 4: exit status 3"),
        "{report:?}"
    );
    let folder = tree.at("run/landfall");
    let json = fs::read_to_string(folder.join("sysroot.json")).unwrap();
    assert!(
        !json.contains("TOKEN") && !json.contains("hunter2"),
        "{json}"
    );
    for name in ["sysroot.json", "stages.json"] {
        let found = fs::metadata(folder.join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(
        host.0
            .calls
            .iter()
            .all(|call| !call.contains("hunter2") && !call.contains("TOKEN")),
        "{:?}",
        host.0.calls
    );
}

/// Remembers, but shells run.
struct WithShell(Recorder);

impl Host for WithShell {
    fn run(&mut self, argv: &Argv) -> Result<host::Output> {
        if argv.program == "/bin/sh" {
            return Linux.run(argv);
        }
        self.0.run(argv)
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        self.0.mount(mount)
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        self.0.unmount(at)
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        self.0.attach_loop(request)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        self.0.detach_loop(device)
    }
}

#[test]
fn a_clone_of_the_disk_is_told_in_the_report_and_on_the_console() {
    let tree = remembered();
    tree.partition("vdb", "vdb5", 5, "state", &format!("PARTUUID={STATE_ID}\n"));
    tree.file("dev/kmsg", b"");
    let report = assemble(&mut Recorder::default(), &tree.paths).unwrap();
    assert_eq!(report.state, tree.at("dev/vda5"));
    let twins: Vec<_> = report
        .twins
        .iter()
        .map(|twin| (&twin.disk, twin.copy))
        .collect();
    assert_eq!(twins, [(&"vdb".to_owned(), true)]);
    let told = fs::read_to_string(tree.at("dev/kmsg")).unwrap();
    assert!(told.contains("(vdb) is a copy of the one in use"), "{told}");
}

#[test]
fn a_path_that_is_refused_is_named_in_the_report_and_on_the_console() {
    let tree = remembered();
    tree.file(
        "run/landfall/oem/91.yaml",
        b"#cloud-config\ninstall:\n  bind_mounts: ['/with blank', /proc/x]\n  extra-dirs-rootfs: [relative]\n  ephemeral_mounts: [/a/../b]\n",
    );
    tree.file("dev/kmsg", b"");
    let report = assemble(&mut Recorder::default(), &tree.paths).unwrap();
    let json = fs::read_to_string(tree.at("run/landfall/sysroot.json")).unwrap();
    assert!(fs::metadata(tree.at("dev/kmsg")).unwrap().len() > 0);
    for path in ["/with blank", "/proc/x", "relative", "/a/../b"] {
        let named = format!("{path:?} is left out: ");
        let told = report.refused.iter().any(|line| line.starts_with(&named));
        assert!(told, "{path}: {:?}", report.refused);
        assert!(json.contains(path), "{path}");
    }
    assert_eq!(report.refused.len(), 4, "{:?}", report.refused);
}

#[test]
fn recovery_and_reset_are_refused_before_anything_is_mounted() {
    for word in ["landfall.recovery", "kairos.reset"] {
        let tree = remembered();
        tree.file("proc/cmdline", word.as_bytes());
        let mut host = Recorder::default();
        let error = assemble(&mut host, &tree.paths).unwrap_err();
        assert!(error.to_string().starts_with("LF-B07"), "{error}");
        assert!(host.calls.is_empty());
    }
}

#[test]
fn another_image_than_ours_is_refused_with_what_was_found() {
    let tree = remembered();
    tree.file(
        "etc/landfall/image-id",
        b"00112233445566778899aabbccddeeff\n",
    );
    let mut host = Recorder::default();
    let error = assemble(&mut host, &tree.paths).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(BootError::ImageMissing { .. })),
        "{error}"
    );
    assert!(host.mounted.is_empty());
}
