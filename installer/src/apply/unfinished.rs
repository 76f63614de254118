//! The boot code of a disk whose installation has not finished.
//!
//! A boot sector without code but with its signature makes a BIOS jump into zeroes and hang in silence. This code says
//! what is the matter and hands on to the next boot device, which may well be the install medium.

/// What the screen says.
const MESSAGE: &[u8] =
    b"\r\nLandfall: the installation of this disk did not finish. Please start it again.\r\n\0";

/// Real-mode code at 0x7c00: prints the text behind it by INT 10h, function 0Eh; then INT 18h, "this device does not
/// boot" (BIOS Boot Specification 1.01, section 6.7).
const CODE: [u8; 27] = [
    0x31, 0xc0, //       xor ax, ax
    0x8e, 0xd8, //       mov ds, ax
    0xfc, //             cld
    0xbe, 0x1b, 0x7c, // mov si, 0x7c1b: the text
    0xac, //       next: lodsb
    0x84, 0xc0, //       test al, al
    0x74, 0x09, //       jz done
    0xb4, 0x0e, //       mov ah, 0x0e
    0xbb, 0x07, 0x00, // mov bx, 7
    0xcd, 0x10, //       int 0x10
    0xeb, 0xf2, //       jmp next
    0xcd, 0x18, // done: int 0x18
    0xf4, //       halt: hlt
    0xeb, 0xfd, //       jmp halt
];

/// The 440 bytes of code and text.
pub(crate) fn boot_code() -> [u8; 440] {
    let mut bytes = [0; 440];
    bytes[..CODE.len()].copy_from_slice(&CODE);
    bytes[CODE.len()..CODE.len() + MESSAGE.len()].copy_from_slice(MESSAGE);
    bytes
}

/// Whether the boot sector of a disk (its first 440 bytes are enough) says that its installation has not finished.
pub(crate) fn is_unfinished(sector: &[u8]) -> bool {
    sector.starts_with(&boot_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_points_at_its_text() {
        let at = usize::from(u16::from_le_bytes([CODE[6], CODE[7]])) - 0x7c00;
        assert_eq!(&boot_code()[at..at + MESSAGE.len()], MESSAGE);
    }
}
