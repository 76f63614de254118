//! Whole assemblies with real file systems.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use host::{Argv, Linux};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::tests::{machine, write_slot};
use super::*;
use crate::testing::{Tree, put};

/// A disk with real file systems behind the fake sysfs; its own mount namespace hides everything from the machine.
struct Disk {
    tree: Tree,
    loops: Vec<PathBuf>,
}

impl Disk {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
        let work = Tree::new();
        make_provider_root(&work);
        run(
            "mkfs.erofs",
            &["-zlz4hc"],
            &[&work.at("root.erofs"), &work.at("root")],
        );
        let id = write_slot(&work.at("state/cOS/active.img"), &work.at("root.erofs"));
        fs::copy(
            work.at("state/cOS/active.img"),
            work.at("state/cOS/passive.img"),
        )
        .unwrap();
        make_oem(&work);
        fs::create_dir_all(work.at("persistent")).unwrap();
        let mut disk = Self {
            tree: machine(id),
            loops: Vec::new(),
        };
        for (number, name, size) in [
            (3, "oem", "16M"),
            (5, "state", "32M"),
            (6, "persistent", "64M"),
        ] {
            disk.partition(&work, number, name, size);
        }
        disk
    }

    fn partition(&mut self, work: &Tree, number: u32, name: &str, size: &str) {
        let file = self.tree.at(&format!("{name}.img"));
        let label = format!("COS_{}", name.to_uppercase());
        let from = work.at(name);
        let argv = Argv::new("mke2fs").args(["-q", "-t", "ext4", "-b", "4096", "-L", &label, "-d"]);
        Linux.run(&argv.arg(from).arg(&file).arg(size)).unwrap();
        let request = LoopRequest {
            file,
            offset: 0,
            size: None,
            read_only: false,
            sector_size: None,
        };
        let device = Linux.attach_loop(&request).unwrap();
        let node = format!("dev/vda{number}");
        fs::remove_file(self.tree.at(&node)).unwrap();
        self.tree.link(&node, &device);
        self.loops.push(device);
    }

    fn boot(&self) -> Report {
        assemble(&mut Linux, &self.tree.paths).unwrap()
    }

    fn stage(&self, name: &str) -> stage::StageReport {
        stage::run(name, &self.root(""), &stage::default_sources(), &mut Linux)
    }

    fn root(&self, path: &str) -> PathBuf {
        self.tree.at("sysroot").join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root(path)).unwrap()
    }

    /// Power off: all mounts and loop devices of the boot go, and with them everything in memory.
    fn off(&self) {
        let prefix = self.tree.paths.prefix.to_str().unwrap();
        let mounts = mountinfo();
        let below: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|at| at.starts_with(prefix))
            .collect();
        let state = self.tree.paths.state();
        let others = below.into_iter().rev().filter(|at| Path::new(at) != state);
        for at in others {
            umount2(at, MntFlags::empty()).unwrap();
        }
        let argv = Argv::new("losetup").args(["-nO", "NAME", "-j"]);
        let said = Linux.run(&argv.arg(state.join("cOS/active.img"))).unwrap();
        for device in said.stdout.lines() {
            Linux.detach_loop(Path::new(device.trim())).unwrap();
        }
        umount2(&state, MntFlags::empty()).unwrap();
        fs::remove_dir_all(self.tree.at("run")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for device in &self.loops {
            drop(Linux.detach_loop(device));
        }
    }
}

/// Of this thread: the thread that started the test is in another mount namespace.
fn mountinfo() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
}

fn run(program: &str, args: &[&str], paths: &[&Path]) {
    Linux
        .run(&Argv::new(program).args(args).args(paths))
        .unwrap();
}

/// A provider image in small, with an odd mode to be kept.
fn make_provider_root(work: &Tree) {
    for folder in [
        "boot",
        "dev",
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
        "var/log",
        "var/lib",
    ] {
        fs::create_dir_all(work.at("root").join(folder)).unwrap();
    }
    work.file("root/etc/passwd", b"root:x:0:0:root:/root:/bin/bash\n");
    work.file("root/etc/group", b"root:x:0:\nshadow:x:42:\nsudo:x:27:\n");
    work.file("root/etc/shadow", b"root:*:19000:0:99999:7:::\n");
    work.file("root/etc/ssh/sshd_config", b"# from the image\n");
    work.file("root/etc/os-release", b"PRETTY_NAME=\"Tiny 1\"\nID=tiny\n");
    work.file("root/etc/skel/.profile", b"# skel\n");
    for (folder, mode) in [("root/etc", 0o751), ("root/root", 0o700)] {
        fs::set_permissions(work.at(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn make_oem(work: &Tree) {
    work.file("oem/10_broken.yaml", b"stages: {initramfs: [\n");
    // The keys of cloud-init, without stages.
    work.file(
        "oem/20_cloud.yaml",
        b"#cloud-config
hostname: before-the-others
users:
  - name: ada
    groups: [sudo]
ssh_authorized_keys: [ssh-ed25519 AAAA shared]
write_files:
  - {path: /etc/cloud, content: aGk=, encoding: b64, permissions: '0600'}
runcmd:
  - echo there is no shell in this image
",
    );
    work.file(
        "oem/90_custom.yaml",
        b"#cloud-config
install:
  extra-dirs-rootfs:
    - /eks-hybrid
  bind_mounts:
    - /eks-hybrid
    - /etc/aws
    - /var/lib/amazon
stages:
  initramfs:
    - name: fails
      commands:
        - echo there is no shell in this image
    - name: login
      users:
        kairos:
          groups: [sudo]
          ssh_authorized_keys: [ssh-ed25519 AAAA kairos]
      files:
        - path: /etc/note
          permissions: 0600
          content: written
    - name: elsewhere
      only_os: Fedora
      files:
        - path: /etc/elsewhere
    - name: set up
      only_os: ^Tiny 1$
      if_files: {all: [/etc/note], none: [/etc/elsewhere]}
      ensure_entities:
        - entity: '{kind: group, group_name: shop, gid: 700, users: kairos}'
      hostname: shop-{{ trunc 4 .MachineID }}
      sysctl:
        vm.swappiness: 1
      systemctl:
        overrides:
          - {service: kubelet, content: '[Service]'}
",
    );
}

#[test]
fn root_a_disk_boots_twice_and_keeps_what_it_has_to_keep() {
    let disk = Disk::new();
    let report = disk.boot();
    assert_eq!(
        report
            .failures()
            .map(|step| format!("{step:?}"))
            .collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    assert_eq!(
        (&report.lost, &report.refused.len()),
        (&vec![], &1),
        "{:?}",
        report.refused
    );
    assert!(report.refused[0].contains("10_broken.yaml"));
    assert!(report.image.ends_with("cOS/active.img"));
    assert!(disk.tree.at("run/cos/active_mode").exists());

    // The root cannot be written, and looks like the image.
    let denied = fs::create_dir(disk.root("new")).unwrap_err();
    assert_eq!(denied.kind(), io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(
        fs::metadata(disk.root("etc")).unwrap().mode() & 0o7777,
        0o751
    );
    assert_eq!(
        fs::metadata(disk.root("root")).unwrap().mode() & 0o7777,
        0o700
    );
    assert_eq!(
        fs::metadata(disk.root("tmp")).unwrap().mode() & 0o7777,
        0o1777
    );
    assert_eq!(disk.read("etc/ssh/sshd_config"), "# from the image\n");

    let kept = [
        "eks-hybrid/x",
        "etc/aws/x",
        "etc/ssh/x",
        "var/lib/amazon/x",
        "opt/x",
        "var/log/x",
        "oem/x",
    ];
    let lost = ["etc/x", "var/x", "tmp/x", "srv/x"];
    for path in kept.iter().chain(&lost) {
        put(&disk.root(path), b"1");
    }
    let machine_id = disk.read("etc/machine-id");
    let fstab = disk.read("etc/fstab");
    for line in [
        "/usr/local/.state/eks-hybrid.bind /eks-hybrid none bind 0 0",
        "/usr/local/.state/var-lib-amazon.bind /var/lib/amazon none bind 0 0",
        "/dev/vda3 /oem ext4 rw 0 0",
        "/dev/vda6 /usr/local ext4 rw 0 0",
        "/dev/vda5 /run/initramfs/cos-state ext4 ro 0 0",
    ] {
        assert!(fstab.lines().any(|found| found == line), "{line}\n{fstab}");
    }

    disk.off();
    let report = disk.boot();
    assert_eq!(report.failures().count(), 0);
    for path in kept {
        assert!(disk.root(path).exists(), "{path} is lost");
    }
    for path in lost {
        assert!(!disk.root(path).exists(), "{path} is still there");
    }
    assert_eq!(disk.read("etc/machine-id"), machine_id);
    let seeded = report
        .steps
        .iter()
        .flat_map(|step| &step.notes)
        .any(|note| note.contains("from the image"));
    assert!(!seeded, "a normal boot seeds nothing");
    disk.off();
}

#[test]
fn root_a_stage_runs_inside_the_new_root_past_a_broken_file_and_a_failing_step() {
    let disk = Disk::new();
    disk.boot();
    let report = disk.stage("initramfs");
    let failures: Vec<String> = report.failures().map(ToString::to_string).collect();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(
        failures[0].starts_with("/oem/10_broken.yaml"),
        "{failures:?}"
    );
    assert!(
        failures[1].starts_with("/oem/90_custom.yaml: initramfs: fails: commands"),
        "{failures:?}"
    );
    assert_eq!(disk.read("etc/note"), "written");
    assert!(
        disk.read("etc/passwd")
            .contains("kairos:x:1000:1000::/home/kairos:/bin/bash")
    );
    assert_eq!(
        disk.read("home/kairos/.ssh/authorized_keys"),
        "ssh-ed25519 AAAA kairos\n"
    );
    assert!(!disk.root("etc/elsewhere").exists());
    assert!(disk.read("etc/group").contains("shop:x:700:kairos"));
    let name = format!("shop-{}\n", &disk.read("etc/machine-id")[..4]);
    assert_eq!(disk.read("etc/hostname"), name);
    assert!(disk.read("etc/hosts").contains(name.trim()));
    // The kernel that runs is not that of this disk, and neither is its /run.
    let kept = disk.read("etc/sysctl.d/zz-landfall.conf");
    assert_eq!(kept, "vm.swappiness = 1\n");
    let drop_in = disk.read("etc/systemd/system/kubelet.service.d/override-yip.conf");
    assert_eq!(drop_in, "[Service]");
    let shadow = fs::metadata(disk.root("etc/shadow")).unwrap();
    assert_eq!((shadow.mode() & 0o7777, shadow.gid()), (0o640, 42));
    assert!(Path::new("/etc/passwd").exists() && !Path::new("/etc/note").exists());
    let mounts = mountinfo();
    let bound = disk.root("proc").display().to_string();
    assert!(
        !mounts.contains(&bound),
        "what the stage bound is still there"
    );
    disk.off();
}

#[test]
fn root_the_keys_of_cloud_init_are_carried_out_in_their_stages() {
    let disk = Disk::new();
    disk.boot();
    let named = disk.stage("initramfs");
    let steps: Vec<&str> = named
        .outcomes
        .iter()
        .filter(|outcome| outcome.field == "hostname" && outcome.error.is_none())
        .map(|outcome| outcome.step.as_str())
        .collect();
    assert_eq!(steps, ["cloud-init hostname", "set up"]);
    let report = disk.stage("boot");
    let told: Vec<(&str, bool)> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.step.starts_with("cloud-init"))
        .map(|outcome| (outcome.field.as_str(), outcome.error.is_none()))
        .collect();
    assert_eq!(
        told,
        [("files", true), ("commands", false), ("users", true)]
    );
    assert_eq!(disk.read("etc/cloud"), "hi");
    assert!(disk.read("etc/group").contains("sudo:x:27:kairos,ada"));
    assert_eq!(
        disk.read("home/ada/.ssh/authorized_keys"),
        "ssh-ed25519 AAAA shared\n"
    );
    disk.off();
}

#[test]
fn root_a_lost_persistent_partition_is_told_and_never_formatted() {
    let disk = Disk::new();
    let image = disk.tree.at("persistent.img");
    let garbage = vec![0x5a_u8; 64 << 20];
    put(&image, &garbage);
    let report = disk.boot();
    assert_eq!(report.lost.len(), 1, "{:?}", report.lost);
    assert!(
        report.lost[0].starts_with("COS_PERSISTENT: "),
        "{:?}",
        report.lost
    );
    assert!(disk.tree.at("run/landfall/lost").exists());
    put(&disk.root("eks-hybrid/x"), b"1");
    assert_eq!(disk.read("etc/machine-id").len(), 33);
    disk.off();
    assert!(
        fs::read(image).unwrap() == garbage,
        "the bytes of the partition changed"
    );
}

#[test]
fn root_an_image_that_cannot_be_mounted_leaves_nothing_behind() {
    let disk = Disk::new();
    let state = disk.tree.paths.state();
    fs::create_dir_all(&state).unwrap();
    let ext4 = Some("ext4");
    mount(
        Some(&disk.tree.at("dev/vda5")),
        &state,
        ext4,
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    let active = state.join("cOS/active.img");
    let mut bytes = fs::read(&active).unwrap();
    // The superblock of EROFS is at byte 1024 of the root, and the root at 1 MiB of the file.
    bytes[(1 << 20) + 1024..][..128].fill(0);
    put(&active, &bytes);
    umount2(&state, MntFlags::empty()).unwrap();
    let error = assemble(&mut Linux, &disk.tree.paths).unwrap_err();
    assert!(error.to_string().starts_with("LF-B06"), "{error:#}");
    let mounts = mountinfo();
    assert!(
        !mounts.contains(disk.tree.paths.prefix.to_str().unwrap()),
        "{mounts}"
    );
    let json = fs::read_to_string(disk.tree.at("run/landfall/sysroot.json")).unwrap();
    let report: Report = serde_json::from_str(&json).unwrap();
    assert!(report.failed.unwrap().starts_with("LF-B06"));
    assert!(
        report.refused.is_empty(),
        "undoing failed: {:?}",
        report.refused
    );
}
