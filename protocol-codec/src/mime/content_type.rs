//! Content-Type and Content-Transfer-Encoding, read strictly (RFC 2045 §5, §6): no comments, no white space around `=`,
//! no parameter twice, and a boundary only in its plain form.

use postline_core::content::mail::Inert;
use postline_core::limits;

use super::header::{Header, first_word, is_wsp};

/// Longest boundary, in bytes (RFC 2046 §5.1.1).
const BOUNDARY_BYTES: usize = 70;

/// What a part is.
pub(crate) struct MediaType {
    /// Type and subtype, lower case.
    name: String,
    boundary: Option<String>,
}

impl MediaType {
    /// Reads what a part's header says of it.
    pub(crate) fn of(header: &Header<'_>) -> Result<Self, Inert> {
        if header.at_most_one("MIME-Version")?.is_some_and(|field| first_word(&field.text()) != "1.0") {
            return Err(Inert::ContentType);
        }
        let media = match header.at_most_one("Content-Type")? {
            Some(field) => Self::parse(&field.text())?,
            None => Self { name: "text/plain".to_owned(), boundary: None },
        };
        let encoding = match header.at_most_one("Content-Transfer-Encoding")? {
            Some(field) => field.text().to_ascii_lowercase(),
            None => "7bit".to_owned(),
        };
        match encoding.as_str() {
            "7bit" | "8bit" | "binary" => Ok(media),
            // Parts within an encoded whole: some readers decode first, some don't (RFC 2045 §6.4).
            "quoted-printable" | "base64" if !media.is_multipart() => Ok(media),
            _ => Err(Inert::ContentType),
        }
    }

    /// Whether it is machine talk about a mail: a report, or a part of one (RFC 3464, RFC 8098, RFC 5965).
    pub(crate) fn is_report(&self) -> bool {
        matches!(
            self.name.as_str(),
            "multipart/report"
                | "message/delivery-status"
                | "message/global-delivery-status"
                | "message/disposition-notification"
                | "message/global-disposition-notification"
                | "message/feedback-report"
        )
    }

    /// The boundary between its parts, where it has parts.
    pub(crate) fn boundary(self) -> Result<Option<String>, Inert> {
        if !self.is_multipart() {
            return Ok(None);
        }
        self.boundary.map(Some).ok_or(Inert::Boundary)
    }

    fn is_multipart(&self) -> bool {
        self.name.starts_with("multipart/")
    }

    fn parse(text: &str) -> Result<Self, Inert> {
        let mut cursor = Cursor { rest: text };
        let kind = cursor.token()?;
        cursor.expect('/')?;
        let subtype = cursor.token()?;
        let name = format!("{kind}/{subtype}").to_ascii_lowercase();
        let mut seen: Vec<String> = Vec::new();
        let mut boundary = None;
        while cursor.next_parameter()? {
            let (parameter, value) = cursor.parameter()?;
            if seen.len() == limits::MIME_PARAMETERS {
                return Err(Inert::Bound);
            }
            let is_boundary = parameter.split('*').next() == Some("boundary");
            if is_boundary && (boundary.is_some() || parameter != "boundary") {
                return Err(Inert::Boundary);
            }
            if seen.contains(&parameter) || parameter.starts_with("charset*") {
                return Err(Inert::ContentType);
            }
            if is_boundary {
                boundary = Some(value.plain_boundary()?);
            }
            seen.push(parameter);
        }
        Ok(Self { name, boundary })
    }
}

struct Cursor<'t> {
    rest: &'t str,
}

/// A parameter's value as it is written, quotes dropped.
struct Value<'t>(&'t str);

impl Value<'_> {
    /// RFC 2046 §5.1.1: bcharsnospace, with spaces but at the end. No escapes.
    fn plain_boundary(&self) -> Result<String, Inert> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let fits = !self.0.is_empty() && self.0.len() <= BOUNDARY_BYTES && !self.0.ends_with(' ');
        if fits && self.0.bytes().all(is_plain) { Ok(self.0.to_owned()) } else { Err(Inert::Boundary) }
    }
}

impl<'t> Cursor<'t> {
    fn skip_wsp(&mut self) {
        self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii() && is_wsp(c as u8));
    }

    fn expect(&mut self, c: char) -> Result<(), Inert> {
        self.rest = self.rest.strip_prefix(c).ok_or(Inert::ContentType)?;
        Ok(())
    }

    fn token(&mut self) -> Result<&'t str, Inert> {
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, after) = self.rest.split_at(end);
        self.rest = after;
        if token.is_empty() { Err(Inert::ContentType) } else { Ok(token) }
    }

    /// Passes the semicolon before a parameter. One that ends the field is a habit that misleads nobody.
    fn next_parameter(&mut self) -> Result<bool, Inert> {
        self.skip_wsp();
        if self.rest.is_empty() {
            return Ok(false);
        }
        self.expect(';')?;
        self.skip_wsp();
        Ok(!self.rest.is_empty())
    }

    fn parameter(&mut self) -> Result<(String, Value<'t>), Inert> {
        let name = self.token()?.to_ascii_lowercase();
        self.expect('=')?;
        match self.rest.strip_prefix('"') {
            None => Ok((name, Value(self.token()?))),
            Some(quoted) => {
                let end = quoted_end(quoted).ok_or(Inert::ContentType)?;
                let (value, after) = quoted.split_at_checked(end).ok_or(Inert::ContentType)?;
                self.rest = after;
                self.expect('"')?;
                Ok((name, Value(value)))
            }
        }
    }
}

/// Where the closing quote stands: the first that no backslash escapes.
pub(crate) fn quoted_end(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    })
}

/// RFC 2045 §5.1.
fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}
