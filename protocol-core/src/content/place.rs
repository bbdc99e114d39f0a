//! A place on earth: a `geo:` URI (RFC 5870), in millionths of a degree, so that no float is needed.
//!
//! ```text
//!   geo:48.2082,16.3738;u=25      latitude, longitude, and how far off they may be, in metres
//! ```

use core::fmt::Write as _;

use crate::content::uri::Uri;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    latitude: i32,
    longitude: i32,
    within: Option<u32>,
}

const POLE: i32 = 90_000_000;
const DATE_LINE: i32 = 180_000_000;

impl Place {
    /// The place at so many millionths of a degree north and east, within so many metres.
    ///
    /// Its one spelling: at a pole the longitude is 0, and the date line is 180° east (RFC 5870 §3.4.2).
    #[must_use]
    pub const fn new(latitude: i32, longitude: i32, within: Option<u32>) -> Option<Self> {
        if latitude.unsigned_abs() > POLE.unsigned_abs() || longitude.unsigned_abs() > DATE_LINE.unsigned_abs() {
            return None;
        }
        let longitude = match longitude {
            _ if latitude.unsigned_abs() == POLE.unsigned_abs() => 0,
            longitude if longitude == -DATE_LINE => DATE_LINE,
            longitude => longitude,
        };
        Some(Self { latitude, longitude, within })
    }

    /// Millionths of a degree north.
    #[must_use]
    pub const fn latitude(self) -> i32 {
        self.latitude
    }

    /// Millionths of a degree east.
    #[must_use]
    pub const fn longitude(self) -> i32 {
        self.longitude
    }

    /// How far off it may be, in metres.
    #[must_use]
    pub const fn within(self) -> Option<u32> {
        self.within
    }

    /// Its URI.
    #[must_use]
    pub fn to_uri(self) -> Uri {
        let mut text = format!("geo:{},{}", degrees(self.latitude), degrees(self.longitude));
        if let Some(metres) = self.within {
            let written = write!(text, ";u={metres}");
            debug_assert!(written.is_ok(), "a text takes every text");
        }
        Uri::short(text)
    }

    /// The place that a `geo:` URI names in WGS 84; what stands behind a millionth of a degree or a metre is cut off, the
    /// height too.
    #[must_use]
    pub fn parse(uri: &Uri) -> Option<Self> {
        let (scheme, rest) = uri.as_str().split_once(':')?;
        let mut parameters = rest.split(';');
        let mut coordinates = parameters.next()?.split(',');
        let (latitude, longitude) = (millionths(coordinates.next()?)?, millionths(coordinates.next()?)?);
        if let Some(height) = coordinates.next() {
            number(height)?;
        }
        let mut within = None;
        for (at, parameter) in parameters.enumerate() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("crs") && (at > 0 || !value.eq_ignore_ascii_case("wgs84")) {
                return None;
            }
            if name.eq_ignore_ascii_case("u") {
                let (negative, whole, _) = number(value)?;
                if negative || within.is_some() {
                    return None;
                }
                within = Some(whole.parse().ok()?);
            }
        }
        if !scheme.eq_ignore_ascii_case("geo") || coordinates.next().is_some() {
            return None;
        }
        Self::new(latitude, longitude, within)
    }
}

/// Millionths of a degree as a decimal number, as short as it goes.
fn degrees(millionths: i32) -> String {
    let (sign, all) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
    let text = format!("{sign}{}.{:06}", all / 1_000_000, all % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A decimal number: whether it is below zero, what stands before the point, and what behind it.
fn number(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (all_digits(whole) && all_digits(fraction)).then_some((negative, whole, fraction))
}

fn millionths(text: &str) -> Option<i32> {
    let (negative, whole, fraction) = number(text)?;
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let all = whole.parse::<i32>().ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)?;
    Some(if negative { -all } else { all })
}
