use std::os::unix::fs::MetadataExt;

use host::{Argv, Linux, LoopRequest, Recorder, files::write_synced};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::assemble::tests::write_slot;
use crate::stage;
use crate::testing::Tree;

const OEM: &[u8] = b"#cloud-config
install:
  bind_mounts: [/etc/aws, /eks-hybrid]
";

/// A state partition with a real slot, and folders for the two others.
fn fresh() -> Tree {
    let tree = Tree::new();
    for folder in ["etc/ssh", "usr/bin", "oem", "usr/local", "tmp"] {
        fs::create_dir_all(tree.at("image").join(folder)).unwrap();
    }
    tree.file("image/etc/ssh/sshd_config", b"# from the image\n");
    tree.file("image/etc/issue", b"the image\n");
    tree.file("oem/90_custom.yaml", OEM);
    fs::create_dir_all(tree.at("persistent")).unwrap();
    let argv = Argv::new("mkfs.erofs").arg(tree.at("root.erofs"));
    Linux.run(&argv.arg(tree.at("image"))).unwrap();
    write_slot(&tree.at("state/cOS/active.img"), &tree.at("root.erofs"));
    tree
}

fn system(paths: &[PathBuf; 4]) -> NewSystem<'_> {
    let [state, oem, persistent, work] = paths;
    NewSystem {
        state,
        oem,
        persistent,
        work,
    }
}

fn paths(tree: &Tree) -> [PathBuf; 4] {
    ["state", "oem", "persistent", "work"].map(|name| tree.at(name))
}

fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
}

#[test]
fn root_a_visitor_sees_the_system_as_it_will_boot_and_hears_what_does_not_stay() {
    own_mounts();
    let tree = fresh();
    let paths = paths(&tree);
    let visited = visit(&system(&paths), &mut Linux, |_, root| {
        let put = |path: &str| write_synced(&root.join(path), b"1\n", 0o600).unwrap();
        let ssh = fs::read_to_string(root.join("etc/ssh/sshd_config")).unwrap();
        for kept in [
            "oem/a",
            "usr/local/b",
            "etc/ssh/c",
            "etc/aws/d",
            "eks-hybrid/e",
        ] {
            put(kept);
        }
        for lost in ["etc/issue", "usr/bin/tool", "tmp/scratch"] {
            put(lost);
        }
        ssh
    });
    assert_eq!(visited.outcome.unwrap(), "# from the image\n");
    assert_eq!(visited.notes, Vec::<String>::new());
    assert_eq!(visited.lost, ["/etc/issue", "/usr/bin/tool"]);
    assert_eq!(visited.left, Vec::<String>::new());
    for kept in [
        "oem/a",
        "persistent/b",
        "persistent/.state/etc-ssh.bind/c",
        "persistent/.state/etc-aws.bind/d",
        "persistent/.state/eks-hybrid.bind/e",
    ] {
        assert!(tree.at(kept).exists(), "{kept}");
    }
    assert!(!tree.at("work").exists());
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains(tree.at("").to_str().unwrap()), "{mounts}");
    let loops = Linux
        .run(&Argv::new("losetup").args(["-nO", "BACK-FILE"]))
        .unwrap();
    let slot = tree.at("state/cOS/active.img").display().to_string();
    assert!(!loops.stdout.contains(&slot), "{}", loops.stdout);
}

#[test]
fn root_a_stage_of_a_visit_runs_inside_the_new_system() {
    own_mounts();
    let tree = fresh();
    tree.file(
        "oem/50_stage.yaml",
        b"stages:\n  after-reset-chroot:\n    - files: [{path: /oem/seen, content: yes}]\n  after-reset-chroot.after:\n    - files: [{path: /var/gone, content: yes}]\n",
    );
    let sources = [tree.at("oem")];
    assert!(stage::has_steps("after-reset-chroot", &sources));
    assert!(!stage::has_steps("after-reset", &sources));
    let paths = paths(&tree);
    let visited = visit(&system(&paths), &mut Linux, |host, root| {
        stage::run("after-reset-chroot", root, &["/oem".into()], host)
    });
    let report = visited.outcome.unwrap();
    assert_eq!(report.failures().count(), 0, "{report:?}");
    assert_eq!(visited.lost, ["/var/gone"]);
    assert_eq!(fs::metadata(tree.at("oem/seen")).unwrap().uid(), 0);
    assert!(!Path::new("/oem/seen").exists());
}

#[test]
fn whatever_mount_of_a_visit_fails_all_are_undone_and_the_visitor_stays_out() {
    let tree = Tree::new();
    tree.file("root.img", &[7; 4096]);
    write_slot(&tree.at("state/cOS/active.img"), &tree.at("root.img"));
    let paths = paths(&tree);
    let mut whole = Recorder::default();
    let visited = visit(&system(&paths), &mut whole, |_, _| ());
    visited.outcome.unwrap();
    assert!(whole.mounted.is_empty() && whole.loops.is_empty());
    let made = whole
        .calls
        .iter()
        .take_while(|call| !call.starts_with("unmount"));
    for n in 0..made.count() {
        let mut host = Recorder::failing_at(n);
        let visited = visit(&system(&paths), &mut host, |_, _| ());
        let call = &whole.calls[n];
        // A directory that cannot be bound is a note; everything before is the system itself.
        let bound = call.contains(".bind ");
        assert_eq!(visited.outcome.is_ok(), bound, "{call}");
        assert_eq!(visited.notes.len(), usize::from(bound), "{call}");
        assert!(host.mounted.is_empty() && host.loops.is_empty(), "{call}");
    }
}

#[test]
fn a_state_partition_without_an_active_image_cannot_be_visited() {
    let tree = Tree::new();
    let paths = paths(&tree);
    let visited = visit(&system(&paths), &mut Recorder::default(), |_, _| ());
    let error = visited.outcome.unwrap_err().to_string();
    assert_eq!(error, "the state partition has no active.img");
}

#[test]
fn a_loop_device_that_does_not_go_is_told() {
    struct Stuck(Recorder);
    impl Host for Stuck {
        fn run(&mut self, argv: &Argv) -> Result<host::Output> {
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
        fn detach_loop(&mut self, _: &Path) -> Result<()> {
            Err(anyhow!("it is busy"))
        }
    }
    let tree = Tree::new();
    tree.file("root.img", &[7; 4096]);
    write_slot(&tree.at("state/cOS/active.img"), &tree.at("root.img"));
    let paths = paths(&tree);
    let visited = visit(&system(&paths), &mut Stuck(Recorder::default()), |_, _| ());
    assert_eq!(visited.left, ["it is busy"]);
}
