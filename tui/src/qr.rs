//! A QR code in half-block characters.
//!
//! One character cell shows two modules, one above the other, so that a module is square on the usual 8x16 and 9x16
//! fonts. Light modules are drawn, dark ones are left black: in VGA text mode only the foreground can be bright white,
//! and the contrast of the code must not hang on a background that the console may turn into blinking.

use ratatui::{
    buffer::Buffer,
    layout::{Rect, Size},
    style::{Color, Style},
    widgets::Widget,
};

/// The quiet zone that ISO/IEC 18004 asks for, in modules.
const QUIET_WANTED: u16 = 4;
/// The narrowest quiet zone drawn, in modules. Readers cope with it; below it they start to fail.
const QUIET_LEAST: u16 = 2;

/// Why a text has no QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QrError {
    /// The text is longer than the largest QR code holds (2953 bytes at error correction level L).
    TooLong,
}

impl std::fmt::Display for QrError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => f.write_str("the text is too long for a QR code"),
        }
    }
}

impl std::error::Error for QrError {}

/// A QR code of the smallest version that holds its text, with error correction level L: on a screen nothing is torn
/// or stained, and a smaller code is larger modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qr {
    dark: Vec<bool>,
    side: u16,
}

/// How a QR code is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Columns, and half rows, of one module; at least 1.
    pub factor: u16,
    /// Modules of quiet zone on each side.
    pub quiet: u16,
}

impl Qr {
    /// Encodes a text.
    ///
    /// # Errors
    ///
    /// [`QrError::TooLong`] when no QR code holds the text.
    pub fn new(text: &str) -> Result<Self, QrError> {
        // Of the errors that the crate knows, only the length can occur when it picks the version itself.
        let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L);
        let code = code.or(Err(QrError::TooLong))?;
        let side = u16::try_from(code.width()).or(Err(QrError::TooLong))?;
        let dark = code
            .into_colors()
            .into_iter()
            .map(|colour| colour == qrcode::Color::Dark)
            .collect();
        Ok(Self { dark, side })
    }

    /// Modules on one side, without the quiet zone: 21 to 177.
    pub fn side(&self) -> u16 {
        self.side
    }

    /// The size of the code in character cells.
    pub fn size(&self, scale: Scale) -> Size {
        let side = self
            .side
            .saturating_add(scale.quiet.saturating_mul(2))
            .saturating_mul(scale.factor);
        Size::new(side, side.div_ceil(2))
    }

    /// The largest way to draw the code in `room`: large modules first, then a wide quiet zone. `None` when not even
    /// the smallest fits.
    pub fn fit(&self, room: Size) -> Option<Scale> {
        let largest = room.width / self.side.max(1);
        let fits = |scale: &Scale| {
            let size = self.size(*scale);
            size.width <= room.width && size.height <= room.height
        };
        let scales = (1..=largest).rev();
        scales
            .flat_map(|factor| {
                (QUIET_LEAST..=QUIET_WANTED)
                    .rev()
                    .map(move |quiet| Scale { factor, quiet })
            })
            .find(fits)
    }

    /// The smallest room in which [`Qr::fit`] finds a way.
    pub fn least_size(&self) -> Size {
        self.size(Scale {
            factor: 1,
            quiet: QUIET_LEAST,
        })
    }

    /// The code as lines of text, for bright characters on a dark ground.
    pub fn lines(&self, scale: Scale) -> Vec<String> {
        let size = self.size(scale);
        (0..size.height)
            .map(|y| (0..size.width).map(|x| self.symbol(x, y, scale)).collect())
            .collect()
    }

    fn symbol(&self, x: u16, y: u16, scale: Scale) -> char {
        let light =
            |half_row: u16| !self.is_dark(x / scale.factor, half_row / scale.factor, scale.quiet);
        match (light(y * 2), light(y * 2 + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }
    }

    /// Whether the module at a place, counted from the corner of the quiet zone, is dark. Beyond the code all is light.
    fn is_dark(&self, x: u16, y: u16, quiet: u16) -> bool {
        let inside = |at: u16| {
            at.checked_sub(quiet)
                .filter(|at| *at < self.side)
                .map(usize::from)
        };
        let (Some(x), Some(y)) = (inside(x), inside(y)) else {
            return false;
        };
        self.dark
            .get(y * usize::from(self.side) + x)
            .copied()
            .unwrap_or(false)
    }
}

/// A QR code at a scale, for drawing into a frame; what does not fit is cut, so ask [`Qr::fit`] before.
#[derive(Debug, Clone, Copy)]
pub struct QrWidget<'a> {
    /// The code.
    pub qr: &'a Qr,
    /// How to draw it.
    pub scale: Scale,
}

impl Widget for QrWidget<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        // Black and white whatever the theme of the screen.
        let style = Style::new().fg(Color::White).bg(Color::Black);
        for (row, line) in area
            .intersection(buffer.area)
            .rows()
            .zip(self.qr.lines(self.scale))
        {
            buffer.set_stringn(row.x, row.y, line, usize::from(row.width), style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "edge-03163342f7f0e6fe20de095ed8548c93";

    fn url(host: &str) -> Qr {
        Qr::new(&format!("https://{host}?appliance-id={ID}")).unwrap()
    }

    #[test]
    fn the_version_is_the_smallest_that_holds_the_text() {
        // Level L holds 78 bytes in version 4, 106 in 5 and 134 in 6 (ISO/IEC 18004, table 7).
        for (length, side) in [
            (78, 33),
            (79, 37),
            (106, 37),
            (107, 41),
            (134, 41),
            (135, 45),
        ] {
            assert_eq!(
                Qr::new(&"x".repeat(length)).unwrap().side(),
                side,
                "{length}"
            );
        }
    }

    #[test]
    fn a_larger_room_gives_larger_modules_and_then_a_wider_quiet_zone() {
        let qr = url(&"x".repeat(30));
        let cases = [
            ((41, 21), Some((1, 2))),
            ((40, 21), None),
            ((41, 20), None),
            ((43, 22), Some((1, 3))),
            ((45, 23), Some((1, 4))),
            ((82, 41), Some((2, 2))),
            ((90, 45), Some((2, 4))),
            ((200, 62), Some((3, 2))),
            ((0, 0), None),
        ];
        for ((width, height), wanted) in cases {
            let scale = qr.fit(Size::new(width, height));
            assert_eq!(
                scale.map(|scale| (scale.factor, scale.quiet)),
                wanted,
                "{width}x{height}"
            );
        }
        assert_eq!(qr.least_size(), Size::new(41, 21));
    }

    #[test]
    fn the_finder_pattern_stands_in_the_corner_of_the_quiet_zone() {
        let lines = Qr::new("A").unwrap().lines(Scale {
            factor: 1,
            quiet: 2,
        });
        assert_eq!(lines.len(), 13);
        let corner: Vec<String> = lines
            .iter()
            .take(5)
            .map(|line| line.chars().take(10).collect())
            .collect();
        assert_eq!(
            corner,
            [
                "██████████",
                "██ ▄▄▄▄▄ █",
                "██ █   █ █",
                "██ █▄▄▄█ █",
                "██▄▄▄▄▄▄▄█"
            ]
        );
    }

    #[test]
    fn a_text_that_no_code_holds_is_refused() {
        assert!(Qr::new(&"x".repeat(2953)).is_ok());
        assert_eq!(Qr::new(&"x".repeat(2954)), Err(QrError::TooLong));
    }
}
