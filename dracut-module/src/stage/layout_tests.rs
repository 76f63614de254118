//! Layouts on loop devices with real tools: sgdisk and e2fsck judge.

use host::{Linux, Mount, Recorder};
use userdata::LayoutDevice;

use super::*;
use crate::testing::Tree;

/// A loop device over an image of 64 MiB with one ext4 partition of 16 MiB, called `one` and labelled as asked.
struct Rig {
    device: PathBuf,
    tree: Tree,
}

impl Rig {
    fn new(label: &str) -> Self {
        let tree = Tree::new();
        tree.file("disk", b"");
        let image = tree.at("disk");
        File::options()
            .write(true)
            .open(&image)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        run("sgdisk", &["-n1:2048:+16M", "-c1:one"], &image);
        let request = LoopRequest {
            file: image,
            offset: 0,
            size: None,
            read_only: false,
            sector_size: None,
        };
        let device = Linux.attach_loop(&request).unwrap();
        run("partx", &["--add"], &device);
        let rig = Self { device, tree };
        run(
            "mke2fs",
            &["-q", "-F", "-t", "ext4", "-L", label],
            &rig.node(1),
        );
        rig
    }

    fn node(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}p{number}", self.device.display()))
    }

    fn layout(&self) -> Layout {
        Layout {
            device: LayoutDevice {
                path: Some(self.device.to_str().unwrap().to_owned()),
                ..LayoutDevice::default()
            },
            ..Layout::default()
        }
    }

    fn image(&self) -> Vec<u8> {
        fs::read(self.tree.at("disk")).unwrap()
    }

    /// What two independent programs say of the table and of a filesystem.
    fn judge(&self, number: u32) {
        let said = run("sgdisk", &["-v"], &self.device);
        assert!(said.contains("No problems found"), "{said}");
        run("e2fsck", &["-f", "-n"], &self.node(number));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(Linux.run(&Argv::new("partx").arg("--delete").arg(&self.device)));
        drop(Linux.detach_loop(&self.device));
    }
}

fn run(program: &str, args: &[&str], at: &Path) -> String {
    let output = Linux.run(&Argv::new(program).args(args).arg(at)).unwrap();
    output.stdout
}

fn size_of(node: &Path) -> u64 {
    ext_size(&mut File::open(node).unwrap(), 0)
        .unwrap()
        .unwrap()
}

#[test]
fn root_the_last_partition_and_its_filesystem_grow_once() {
    let rig = Rig::new("ONE");
    let wanted = Layout {
        expand: Some(0),
        ..rig.layout()
    };
    let said = carry_out(&wanted, &mut Linux).unwrap();
    assert!(said.contains("has grown"), "{said}");
    assert_eq!(size_of(&rig.node(1)), 62 << 20);
    rig.judge(1);
    let before = rig.image();
    assert_eq!(
        carry_out(&wanted, &mut Linux).unwrap(),
        "nothing is to be done"
    );
    assert!(rig.image() == before, "the second run has written");
}

/// The real door, but that resize2fs is only remembered: growing what is mounted needs a capability that a container may
/// lack.
#[derive(Default)]
struct Watched(Vec<String>);

impl Host for Watched {
    fn run(&mut self, argv: &Argv) -> Result<host::Output> {
        self.0.push(argv.to_string());
        if argv.program == "resize2fs" {
            return Ok(host::Output::default());
        }
        Linux.run(argv)
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        Linux.mount(mount)
    }

    fn unmount(&mut self, at: &Path) -> Result<()> {
        Linux.unmount(at)
    }

    fn attach_loop(&mut self, request: &LoopRequest) -> Result<PathBuf> {
        Linux.attach_loop(request)
    }

    fn detach_loop(&mut self, device: &Path) -> Result<()> {
        Linux.detach_loop(device)
    }
}

#[test]
fn root_a_mounted_filesystem_is_grown_as_it_is_and_never_checked() {
    let rig = Rig::new("ONE");
    let at = rig.tree.at("mnt");
    rig.tree.file("mnt/x", b"");
    Linux.mount(&Mount::new(rig.node(1), &at, "ext4")).unwrap();
    crate::testing::put(&at.join("kept"), b"text");
    let wanted = Layout {
        expand: Some(40),
        ..rig.layout()
    };
    let mut host = Watched::default();
    let result = carry_out(&wanted, &mut host);
    let kept = fs::read(at.join("kept"));
    Linux.unmount(&at).unwrap();
    result.unwrap();
    assert_eq!(kept.unwrap(), b"text");
    let (device, node) = (rig.device.display(), rig.node(1));
    let wanted_calls = [
        format!("partx --update --nr 1 {device}"),
        format!("resize2fs {}", node.display()),
    ];
    assert_eq!(host.0, wanted_calls);
    // The next run finds the table done and the filesystem not.
    carry_out(&wanted, &mut Linux).unwrap();
    assert_eq!(size_of(&node), 40 << 20);
    rig.judge(1);
}

#[test]
fn root_partitions_are_added_formatted_and_not_added_again() {
    let rig = Rig::new("ONE");
    let part = |p_label: Option<&str>, fs_label: &str, size, filesystem: &str| AddPartition {
        p_label: p_label.map(str::to_owned),
        fs_label: Some(fs_label.to_owned()),
        size,
        filesystem: Some(filesystem.to_owned()),
        bootable: false,
    };
    let wanted = Layout {
        add: vec![
            part(Some("two"), "TWO", 8, "vfat"),
            part(None, "THREE", 12, "ext4"),
            part(None, "FOUR", 4, "vfat"),
            part(None, "FIVE", 8, "ext2"),
        ],
        expand: Some(0),
        ..rig.layout()
    };
    carry_out(&wanted, &mut Linux).unwrap();
    assert_eq!(label_of(&rig.node(3)).as_deref(), Some("THREE"));
    assert!(run("sgdisk", &["-i2"], &rig.device).contains("'two'"));
    run("fsck.fat", &["-n"], &rig.node(2));
    rig.judge(3);
    rig.judge(5);
    let table = run("sgdisk", &["-p"], &rig.device);
    let before = rig.image();
    carry_out(&wanted, &mut Linux).unwrap();
    assert_eq!(run("sgdisk", &["-p"], &rig.device), table);
    assert!(rig.image() == before, "the second run has written");
}

#[test]
fn root_a_filesystem_that_is_not_grown_refuses_to_grow_and_nothing_else() {
    let rig = Rig::new("ONE");
    let last = AddPartition {
        p_label: Some("two".to_owned()),
        filesystem: Some("vfat".to_owned()),
        size: 40,
        ..AddPartition::default()
    };
    let wanted = |expand| Layout {
        add: vec![last.clone()],
        expand: Some(expand),
        ..rig.layout()
    };
    carry_out(&wanted(40), &mut Linux).unwrap();
    assert_eq!(
        carry_out(&wanted(40), &mut Linux).unwrap(),
        "nothing is to be done"
    );
    let before = rig.image();
    let error = carry_out(&wanted(42), &mut Linux).unwrap_err();
    assert!(
        format!("{error:#}").contains("no other is grown"),
        "{error:#}"
    );
    assert!(rig.image() == before, "something was written");
}

#[test]
fn root_what_cannot_be_done_is_refused_before_anything_is_written() {
    let rig = Rig::new("ONE");
    let add = |filesystem: &str, size| AddPartition {
        p_label: Some("two".to_owned()),
        size,
        filesystem: Some(filesystem.to_owned()),
        ..AddPartition::default()
    };
    let with = |add: Vec<AddPartition>, expand| Layout {
        add,
        expand,
        ..rig.layout()
    };
    let init = Layout {
        device: LayoutDevice {
            init_disk: true,
            ..rig.layout().device
        },
        ..Layout::default()
    };
    let before = rig.image();
    for (wanted, reason) in [
        (with(vec![], Some(8)), "cannot shrink"),
        (with(vec![], Some(63)), "do not fit"),
        (
            with(vec![add("ext4", 8), AddPartition::default()], None),
            "needs a pLabel",
        ),
        (with(vec![add("xfs", 8)], None), "is not made"),
        (with(vec![add("ext4", 47)], None), "do not fit"),
        (init, "init_disk"),
    ] {
        let error = carry_out(&wanted, &mut Linux).unwrap_err();
        assert!(format!("{error:#}").contains(reason), "{error:#}");
        assert!(rig.image() == before, "{reason}: something was written");
    }
}

#[test]
fn root_a_failed_format_leaves_the_table_as_it_was() {
    let rig = Rig::new("ONE");
    let add = AddPartition {
        p_label: Some("two".to_owned()),
        ..AddPartition::default()
    };
    let wanted = Layout {
        add: vec![add],
        ..rig.layout()
    };
    let before = rig.image();
    for request in 0..2 {
        let mut host = Recorder::failing_at(request);
        assert!(carry_out(&wanted, &mut host).is_err());
        assert!(host.loops.is_empty(), "{:?}", host.calls);
        assert!(rig.image() == before, "request {request}");
    }
}

#[test]
fn root_a_disk_is_found_by_the_label_of_a_filesystem_unless_two_have_it() {
    let label = format!("L{}", std::process::id());
    let one = Rig::new(&label);
    let paths = Paths::default();
    let name = one.device.file_name().unwrap().to_str().unwrap();
    assert_eq!(by_label(&paths, &label).unwrap(), name);
    assert_eq!(
        by_path(&paths, one.node(1).to_str().unwrap()).unwrap(),
        name
    );
    let _two = Rig::new(&label);
    let error = by_label(&paths, &label).unwrap_err();
    assert!(error.to_string().contains("several disks"), "{error}");
}

#[test]
fn the_dracut_module_installs_every_tool_of_a_layout() {
    let module = include_str!("../../rootfs/usr/lib/dracut/modules.d/28landfall/module-setup.sh");
    let words: Vec<&str> = module
        .split(|c: char| c.is_whitespace() || "()".contains(c))
        .collect();
    for tool in TOOLS {
        assert!(words.contains(&tool), "{tool}");
    }
}

#[test]
fn nothing_is_done_without_a_device() {
    let mut host = Recorder::default();
    let said = carry_out(&Layout::default(), &mut host).unwrap();
    assert!(said.contains("no device") && host.calls.is_empty());
}
