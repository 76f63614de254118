//! Turns the cells of a drawn screen into pixels, as a VGA card does. Shared by the tests and by the gallery.

use std::sync::LazyLock;

use ratatui::{buffer::Buffer, style::Color};
use spleen_font::FONT_8X16;

/// Pixel rows of a character cell.
const CELL_HEIGHT: usize = 16;

/// An RGB picture.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
}

impl Picture {
    /// Draws every cell, 8 or 9 pixels wide. In the 9-pixel mode of VGA the ninth column of block and line characters
    /// repeats the eighth, and is blank for others.
    pub(crate) fn draw(buffer: &Buffer, cell_width: usize) -> Self {
        let (columns, rows) = (
            usize::from(buffer.area.width),
            usize::from(buffer.area.height),
        );
        let (width, height) = (columns * cell_width, rows * CELL_HEIGHT);
        let mut rgb = vec![0; width * height * 3];
        for (at, cell) in buffer.content.iter().enumerate() {
            let (column, row) = (at % columns, at / columns);
            let glyph = glyph(cell.symbol());
            for (y, pixels) in glyph.iter().enumerate() {
                for x in 0..cell_width {
                    let repeats = "─│█▀▄░".contains(cell.symbol());
                    let lit = if x < 8 {
                        pixels & (0x80 >> x) != 0
                    } else {
                        repeats && pixels & 1 != 0
                    };
                    let colour = vga(if lit { cell.fg } else { cell.bg });
                    let start = ((row * CELL_HEIGHT + y) * width + column * cell_width + x) * 3;
                    rgb[start..start + 3].copy_from_slice(&colour);
                }
            }
        }
        Self { width, height, rgb }
    }

    pub(crate) fn to_png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (width, height) = (
            u32::try_from(self.width).unwrap(),
            u32::try_from(self.height).unwrap(),
        );
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&self.rgb)
            .unwrap();
        bytes
    }
}

/// Sixteen rows of eight pixels. Blocks are made here, exact to the pixel; letters come from the font.
fn glyph(symbol: &str) -> [u8; CELL_HEIGHT] {
    let halves = |top: u8, bottom: u8| {
        std::array::from_fn(|y| if y < CELL_HEIGHT / 2 { top } else { bottom })
    };
    let rows = |from: usize, rows: &[u8]| {
        std::array::from_fn(|y| {
            y.checked_sub(from)
                .and_then(|y| rows.get(y))
                .copied()
                .unwrap_or(0)
        })
    };
    match symbol {
        "█" => halves(0xff, 0xff),
        "▀" => halves(0xff, 0),
        "▄" => halves(0, 0xff),
        "░" => std::array::from_fn(|y| if y % 2 == 0 { 0x22 } else { 0x88 }),
        "─" => rows(7, &[0xff]),
        "·" => rows(7, &[0x18, 0x18]),
        "■" => rows(5, &[0x7c; 7]),
        "►" => rows(
            3,
            &[
                0x80, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xf8, 0xf0, 0xe0, 0xc0, 0x80,
            ],
        ),
        "√" => rows(
            2,
            &[0x0f, 0x0c, 0x0c, 0x0c, 0x0c, 0xec, 0x6c, 0x6c, 0x3c, 0x1c],
        ),
        _ => letter(symbol).unwrap_or_else(|| panic!("no glyph for {symbol:?}")),
    }
}

/// Looks a letter up in the font. The file is PSF version 1 although its crate reads only version 2: four bytes of
/// header, 512 glyphs, then for each glyph its code points in little endian, ended by 0xffff.
fn letter(symbol: &str) -> Option<[u8; CELL_HEIGHT]> {
    static CODES: LazyLock<Vec<Vec<u16>>> = LazyLock::new(|| {
        assert_eq!(
            FONT_8X16[..4],
            [0x36, 0x04, 0x03, 16],
            "the font has another format now"
        );
        let table = &FONT_8X16[4 + 512 * CELL_HEIGHT..];
        let codes: Vec<u16> = table
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        codes
            .split(|code| *code == 0xffff)
            .map(<[u16]>::to_vec)
            .collect()
    });
    let wanted = u16::try_from(u32::from(symbol.chars().next()?)).ok()?;
    let at = CODES.iter().position(|codes| codes.contains(&wanted))?;
    FONT_8X16[4 + at * CELL_HEIGHT..][..CELL_HEIGHT]
        .try_into()
        .ok()
}

/// The palette of VGA text mode.
fn vga(colour: Color) -> [u8; 3] {
    match colour {
        Color::Black => [0, 0, 0],
        Color::Red => [170, 0, 0],
        Color::Green => [0, 170, 0],
        Color::Yellow => [170, 85, 0],
        Color::Blue => [0, 0, 170],
        Color::Magenta => [170, 0, 170],
        Color::Cyan => [0, 170, 170],
        Color::Gray => [170, 170, 170],
        Color::DarkGray => [85, 85, 85],
        Color::LightRed => [255, 85, 85],
        Color::LightGreen => [85, 255, 85],
        Color::LightYellow => [255, 255, 85],
        Color::LightBlue => [85, 85, 255],
        Color::LightMagenta => [255, 85, 255],
        Color::LightCyan => [85, 255, 255],
        Color::White => [255, 255, 255],
        other => panic!("{other:?} is not a colour of VGA text mode"),
    }
}
