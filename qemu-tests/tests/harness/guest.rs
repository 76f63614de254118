//! Two guests without any of the product.

use qemu_tests::Folder;
use qemu_tests::machine::Builder;
use qemu_tests::tiny::Tiny;

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

/// A Debian kernel with busybox as its whole system; it sends events and ends with `last` (`poweroff`, `reboot`).
pub(crate) fn linux(folder: &Folder, name: &str, last: &str) -> Builder {
    let script = format!(
        "printf '{{\"v\":1,\"event\":\"hello\",\"uuid\":\"%s\"}}\\nnot json\\n' $(cat /sys/class/dmi/id/product_uuid) > $events\n\
         printf '{{\"v\":1,\"event\":\"step\",\"index\":2}}\\n' > $events\n\
         echo harness init is done\n\
         {last} -f\n"
    );
    let tiny = Tiny {
        modules: &[],
        programs: &[],
        script: &script,
    };
    tiny.machine(folder, name).unwrap()
}
