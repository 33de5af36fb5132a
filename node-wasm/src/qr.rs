//! A text as a QR code, drawn by us as the path of an SVG.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::node_core::write;

/// Light modules around the code; the standard asks for four.
const QUIET: i32 = 4;

/// A QR code: a square of `size` units and the path of its dark modules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Picture {
    size: i32,
    path: String,
}

/// Draws a text as a QR code: `{size, path}`, or `null` if it is too long for one (about 2,900 bytes).
///
/// # Errors
/// The object can't be passed on; that would be a bug.
#[wasm_bindgen(js_name = qrCode)]
pub fn qr_code(text: &str) -> Result<JsValue, JsError> {
    write(&picture(text))
}

fn picture(text: &str) -> Option<Picture> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let start = x;
            while code.get_module(x, y) {
                x += 1;
            }
            let width = x - start;
            if width > 0 {
                // A String takes everything.
                let _ = write!(path, "M{} {}h{width}v1h-{width}z", start + QUIET, y + QUIET);
            }
            x += 1;
        }
    }
    let size = code.size() + 2 * QUIET;
    Some(Picture { size, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_covers_the_dark_modules() {
        let text = "distli1:AQE";
        let code = QrCode::encode_text(text, QrCodeEcc::Low).unwrap();
        let picture = picture(text).unwrap();
        assert_eq!(picture.size, code.size() + 8);
        let mut dark = 0;
        for run in picture.path.split('M').filter(|run| !run.is_empty()) {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let (width, _) = rest.split_once('v').unwrap();
            let [x, y, width] = [x, y, width].map(|number| number.parse::<i32>().unwrap());
            for x in x..x + width {
                assert!(code.get_module(x - QUIET, y - QUIET));
            }
            dark += width;
        }
        let all = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        let expected = all.filter(|(x, y)| code.get_module(*x, *y)).count();
        assert_eq!(usize::try_from(dark), Ok(expected));
    }

    #[test]
    fn text_that_fits_into_no_code_has_no_picture() {
        assert!(picture(&"a".repeat(2_900)).is_some());
        assert_eq!(picture(&"a".repeat(3_000)), None);
    }
}
