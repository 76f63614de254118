//! Two guests without any of the product.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use qemu_tests::machine::Builder;
use qemu_tests::{Folder, Vm, artifacts, door};

/// What the boot sector says on the serial line.
pub(crate) const GREETING: &str = "landfall boot sector";

/// A BIOS boot sector of our own: sets up COM1, sends [`GREETING`], and halts with interrupts off.
pub(crate) fn boot_sector() -> Vec<u8> {
    let mut code: Vec<u8> = vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xba, 0x00, 0x00, // mov dx, 0         COM1
        0xb8, 0xe3, 0x00, // mov ax, 0x00e3    int 14h, function 0: 9600 baud, 8n1
        0xcd, 0x14, // int 0x14
        0xbe, 0x22, 0x7c, // mov si, 0x7c00 + 34, the text
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x09, // jz done
        0xb4, 0x01, // mov ah, 1               int 14h, function 1: send
        0xba, 0x00, 0x00, // mov dx, 0
        0xcd, 0x14, // int 0x14
        0xeb, 0xf2, // jmp next
        0xfa, // done: cli
        0xf4, // hlt
        0xeb, 0xfd, // jmp to hlt
    ];
    code.resize(34, 0x90);
    code.extend(GREETING.as_bytes());
    code.push(0);
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    // One MiB, because some controllers do not like a disk of one sector.
    code.resize(1 << 20, 0);
    code
}

/// Modules that the guest needs for the event port, in the order of loading.
const MODULES: [&str; 7] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/char/virtio_console.ko",
    "drivers/acpi/button.ko",
];

/// A Debian kernel with busybox as its whole system; it sends events and ends with `last` (`poweroff`, `reboot`).
pub(crate) fn linux(folder: &Folder, name: &str, last: &str) -> Builder {
    let root = image_root();
    let (kernel, modules) = kernel_of(&root);
    let initrd = initrd(folder, &modules, last);
    Vm::builder(name)
        .memory(512)
        .kernel(kernel, initrd, "console=ttyS0 panic=-1 loglevel=7")
}

/// An unpacked Debian image with a kernel: `LANDFALL_HARNESS_ROOT`, or the provider image that the build unpacked.
fn image_root() -> PathBuf {
    std::env::var_os("LANDFALL_HARNESS_ROOT").map_or_else(
        || artifacts::build_folder().join("provider/root"),
        PathBuf::from,
    )
}

/// The kernel file and its folder of modules.
fn kernel_of(root: &Path) -> (PathBuf, PathBuf) {
    // With merged /usr, /lib is an absolute link in the image: go by /usr/lib first.
    for modules in ["usr/lib/modules", "lib/modules"] {
        let Ok(entries) = fs::read_dir(root.join(modules)) else {
            continue;
        };
        for version in entries.flatten() {
            for kernel in [
                format!("boot/vmlinuz-{}", version.file_name().display()),
                "boot/vmlinuz".to_owned(),
            ] {
                let kernel = root.join(kernel);
                if kernel.is_file() {
                    return (kernel, version.path().join("kernel"));
                }
            }
        }
    }
    panic!(
        "no kernel under {}; run ./just image, or set LANDFALL_HARNESS_ROOT",
        root.display()
    );
}

fn initrd(folder: &Folder, modules: &Path, last: &str) -> PathBuf {
    let tree = folder.file("tree");
    for sub in ["bin", "dev", "proc", "sys", "modules"] {
        fs::create_dir_all(tree.join(sub)).unwrap();
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).expect("the package busybox-static");
    let mut load = String::new();
    for module in MODULES {
        let name = Path::new(module).file_name().unwrap().to_str().unwrap();
        // Some kernels have one or the other built in.
        if fs::copy(modules.join(module), tree.join("modules").join(name)).is_ok() {
            load += "insmod /modules/";
            load += name;
            load.push('\n');
        }
    }
    let init = format!(
        "#!/bin/busybox sh\n\
         /bin/busybox --install -s /bin\n\
         export PATH=/bin\n\
         mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n\
         {load}\
         for port in /sys/class/virtio-ports/*; do\n\
         read -r name < $port/name; [ \"$name\" = landfall.events ] && events=/dev/$(basename $port)\n\
         done\n\
         printf '{{\"v\":1,\"event\":\"hello\",\"uuid\":\"%s\"}}\\nnot json\\n' $(cat /sys/class/dmi/id/product_uuid) > $events\n\
         printf '{{\"v\":1,\"event\":\"step\",\"index\":2}}\\n' > $events\n\
         echo harness init is done\n\
         {last} -f\n"
    );
    door::write_file(&tree.join("init"), init.as_bytes()).unwrap();
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    pack(&tree, &folder.file("initrd"))
}

/// A cpio archive of a folder, made by busybox.
fn pack(tree: &Path, archive: &Path) -> PathBuf {
    let status = door::command("sh")
        .args(["-c", "busybox find . | busybox cpio -o -H newc"])
        .current_dir(tree)
        .stdout(fs::File::create(archive).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    archive.to_owned()
}
