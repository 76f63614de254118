//! What a camera in front of the machine would see: pictures of the VGA screen, and the QR code on them.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::door;

/// Decodes the one QR code on a picture with `zbarimg`, a decoder that shares no code with the product.
///
/// Returns `None` if there is none.
///
/// # Errors
/// `zbarimg` cannot be started, cannot read the picture, or finds several codes.
pub fn decode_qr(picture: &Path) -> Result<Option<String>> {
    let mut zbarimg = door::command("zbarimg");
    zbarimg
        .args(["-q", "--raw", "-Sdisable", "-Sqrcode.enable"])
        .arg(picture);
    let output = door::output(&mut zbarimg)?;
    match output.status.code() {
        // zbarimg(1): 4 is "no barcode was detected".
        Some(4) => return Ok(None),
        Some(0) => {}
        _ => bail!("zbarimg: {}: {}", output.status, door::tail(&output.stderr)),
    }
    let text = String::from_utf8(output.stdout).context("decoding the QR code")?;
    let text = text.trim_end_matches('\n');
    ensure!(
        !text.contains('\n'),
        "several QR codes on {}",
        picture.display()
    );
    Ok(Some(text.to_owned()))
}

/// Writes the PPM picture (`P6`, 8 bit) that QEMU makes as PNG.
///
/// # Errors
/// The input is no such PPM, or the output cannot be written.
pub fn ppm_to_png(ppm: &Path, png: &Path) -> Result<()> {
    let bytes = fs::read(ppm).with_context(|| format!("reading {}", ppm.display()))?;
    let (width, height, pixels) =
        parse_ppm(&bytes).with_context(|| format!("parsing {}", ppm.display()))?;
    let file = File::create(png).with_context(|| format!("writing {}", png.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().context("writing PNG")?;
    writer.write_image_data(pixels).context("writing PNG")?;
    writer.finish().context("writing PNG")
}

/// Width, height and the pixels (three bytes each, row by row from the top).
fn parse_ppm(bytes: &[u8]) -> Result<(u32, u32, &[u8])> {
    let mut rest = bytes;
    let mut field = || -> Result<&str> {
        let end = rest
            .iter()
            .position(u8::is_ascii_whitespace)
            .context("header cut short")?;
        let (word, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        Ok(std::str::from_utf8(word)?)
    };
    ensure!(field()? == "P6", "not a binary PPM");
    let width: u32 = field()?.parse()?;
    let height: u32 = field()?.parse()?;
    ensure!(field()? == "255", "not 8 bits a channel");
    let size = usize::try_from(u64::from(width) * u64::from(height) * 3)?;
    ensure!(
        size > 0 && rest.len() == size,
        "{} bytes of pixels, {size} expected",
        rest.len()
    );
    Ok((width, height, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_parsed_to_the_byte() {
        let (width, height, pixels) = parse_ppm(b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06").unwrap();
        assert_eq!((width, height, pixels), (2, 1, &[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn other_pictures_are_refused() {
        for (bytes, reason) in [
            (&b"P5\n1 1\n255\n\x00"[..], "not a binary PPM"),
            (
                b"P6\n2 1\n255\n\x01\x02\x03",
                "3 bytes of pixels, 6 expected",
            ),
            (b"P6\n0 1\n255\n", "0 bytes of pixels, 0 expected"),
            (b"P6\n1 1\n65535\n\x00\x00\x00", "not 8 bits a channel"),
            (b"P6\n1", "header cut short"),
        ] {
            assert_eq!(parse_ppm(bytes).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn a_picture_without_a_code_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let (ppm, png) = (folder.path().join("a.ppm"), folder.path().join("a.png"));
        let mut picture = b"P6\n64 64\n255\n".to_vec();
        picture.extend(vec![255; 64 * 64 * 3]);
        door::write_file(&ppm, &picture).unwrap();
        ppm_to_png(&ppm, &png).unwrap();
        assert_eq!(decode_qr(&png).unwrap(), None);
    }
}
