//! Address fields, read strictly (RFC 5322 §3.4 less its obsolete forms): no comments, no routes, no empty elements,
//! no white space inside an address. What a display name says is nobody's business here.

use postline_core::content::mail::Inert;
use postline_core::id::Address;
use postline_core::limits;

use super::content_type::quoted_end;

/// The addresses of one field, in order, display names dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    pub(crate) list: Vec<Address>,
    pub(crate) has_group: bool,
}

impl AddressList {
    /// Reads an unfolded field body. An empty one names nobody.
    pub(crate) fn parse(text: &str) -> Result<Self, Inert> {
        let mut read = Self::default();
        let mut cursor = Cursor { rest: text };
        let mut in_group = false;
        cursor.skip_wsp();
        if cursor.rest.is_empty() {
            return Ok(read);
        }
        loop {
            match cursor.element(in_group)? {
                Element::Mailbox(address) => read.list.push(address),
                Element::Group => {
                    (in_group, read.has_group) = (true, true);
                    cursor.skip_wsp();
                    if !cursor.rest.starts_with(';') {
                        continue;
                    }
                }
            }
            if read.list.len() > limits::HEADER_ADDRESSES {
                return Err(Inert::Bound);
            }
            cursor.skip_wsp();
            if in_group && cursor.take(';') {
                in_group = false;
                cursor.skip_wsp();
            }
            if cursor.rest.is_empty() && !in_group {
                return Ok(read);
            }
            if !cursor.take(',') {
                return Err(Inert::Address);
            }
        }
    }
}

enum Element {
    Mailbox(Address),
    /// A group's name and colon.
    Group,
}

struct Cursor<'t> {
    rest: &'t str,
}

impl<'t> Cursor<'t> {
    fn skip_wsp(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, c: char) -> bool {
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// One mailbox, or the beginning of a group.
    fn element(&mut self, in_group: bool) -> Result<Element, Inert> {
        let mut words = 0;
        loop {
            self.skip_wsp();
            if self.take('"') {
                self.quoted_words()?;
            } else if self.take('<') {
                let (inside, after) = self.rest.split_once('>').ok_or(Inert::Address)?;
                self.rest = after;
                return address(inside).map(Element::Mailbox);
            } else if words > 0 && !in_group && self.take(':') {
                return Ok(Element::Group);
            } else {
                let atom = self.atom();
                if atom.contains('@') && words == 0 {
                    return address(atom).map(Element::Mailbox);
                }
                check_word(atom)?;
            }
            words += 1;
        }
    }

    fn atom(&mut self) -> &'t str {
        let (atom, after) = self.rest.split_at(self.rest.find(is_special).unwrap_or(self.rest.len()));
        self.rest = after;
        atom
    }

    /// What stands between two quotes, up to and with the second.
    fn quoted_words(&mut self) -> Result<(), Inert> {
        let end = quoted_end(self.rest).ok_or(Inert::Address)?;
        let (inside, after) = self.rest.split_at_checked(end).ok_or(Inert::Address)?;
        self.rest = after.strip_prefix('"').ok_or(Inert::Address)?;
        inside.split([' ', '\t']).filter(|word| word.contains("=?")).try_for_each(check_word)
    }
}

/// RFC 5322 specials less the dot, which names bear without quotes, and less the at sign, which is looked for.
fn is_special(c: char) -> bool {
    matches!(c, ' ' | '\t' | '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '\\' | ',' | '"')
}

/// A word of a display name. One that claims to be encoded must be so as a whole (RFC 2047 §5): readers that search on
/// for its end would find it in another address.
fn check_word(word: &str) -> Result<(), Inert> {
    let is_word = if word.contains("=?") { is_encoded_word(word) } else { !word.is_empty() && !word.contains('@') };
    if is_word { Ok(()) } else { Err(Inert::Address) }
}

fn is_encoded_word(word: &str) -> bool {
    let inside = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?="));
    let parts: Vec<&str> = inside.map(|inside| inside.split('?').collect()).unwrap_or_default();
    matches!(parts.as_slice(), [charset, "B" | "b" | "Q" | "q", _text] if !charset.is_empty())
}

/// An addr-spec. Encoded words have no place in it (attack 17).
fn address(text: &str) -> Result<Address, Inert> {
    if text.contains("=?") {
        return Err(Inert::Address);
    }
    Address::parse(text).map_err(|_| Inert::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<String>, bool), Inert> {
        AddressList::parse(text).map(|read| (read.list.iter().map(ToString::to_string).collect(), read.has_group))
    }

    #[test]
    fn names_of_every_honest_shape_are_passed_over() {
        for good in [
            "a@b.example",
            "<a@b.example>",
            "John Q. Public <a@b.example>",
            "\"Public, John\" <a@b.example>",
            "\"John \\\"Q\\\" \\\\ Public\"<a@b.example>",
            "\"alice@c.example\" <a@b.example>",
            "=?utf-8?q?J=C3=B6rg?= =?utf-8?B?w7Y=?= <a@b.example>",
            "\"=?utf-8?Q?J=C3=B6rg?= (work)\" <a@b.example>",
            "J\u{f6}rg <a@B.Example>",
            "\"\" <a@b.example>",
            "<\"a\"@b.example>",
        ] {
            assert_eq!(read(good), Ok((vec!["a@b.example".to_owned()], false)), "{good:?}");
        }
    }

    #[test]
    fn groups_are_read_and_told() {
        let of = |list: &[&str]| Ok((list.iter().map(ToString::to_string).collect(), true));
        assert_eq!(read("undisclosed-recipients:;"), of(&[]));
        assert_eq!(read("x@c.example, \"a b\": <a@b.example>, c@d.example ; , e@f.example"), {
            of(&["x@c.example", "a@b.example", "c@d.example", "e@f.example"])
        });
        assert_eq!(read(""), Ok((vec![], false)));
    }

    #[test]
    fn t_018_tricks_of_address_fields_are_refused() {
        for bad in [
            "a@b.example (Alice)",
            "Alice (work) <a@b.example>",
            "<@c.example:a@b.example>",
            "<a@b.example><c@d.example>",
            "<<a@b.example>>",
            "< a@b.example>",
            "a @b.example",
            "alice@c.example <a@b.example>",
            "Alice alice@c.example <a@b.example>",
            "a@b.example c@d.example",
            "a@b.example; c@d.example",
            ",a@b.example",
            "a@b.example,",
            "a@b.example,,c@d.example",
            "\"\"@b.example",
            "\"a\"@b.example",
            "\"a b\"@b.example",
            "<\"a b\"@b.example>",
            "\"Alice <a@b.example>",
            "Alice",
            "<>",
            "<a@b.example",
            "g: h: a@b.example;;",
            "g: a@b.example",
            "g: a@b.example,;",
            ": a@b.example;",
            "=?utf-8?q?a?=@b.example",
            "<=?utf-8?q?a?=@b.example>",
            "=?utf-8?q?a <a@b.example>, =?utf-8?q?b?= <c@d.example>",
            "\"=?utf-8?q?a\" <a@b.example>, \"b?=\" <c@d.example>",
            "a@[127.0.0.1]",
            "a@localhost",
        ] {
            assert_eq!(read(bad), Err(Inert::Address), "{bad:?}");
        }
    }

    #[test]
    fn the_bound_holds_at_it_and_above() {
        let many = |n: usize| vec!["a@b.example"; n].join(",");
        assert!(AddressList::parse(&many(limits::HEADER_ADDRESSES)).is_ok());
        assert_eq!(AddressList::parse(&many(limits::HEADER_ADDRESSES + 1)), Err(Inert::Bound));
    }
}
