//! Domains and addresses.

use serde_json::json;

use super::Making;
use crate::answer::Class;

pub(super) fn addresses() -> Making {
    let mut m = Making::new("addresses", "Domains and addresses, and what is none.");
    for (shows, text) in [
        ("a plain domain", "b.example"),
        ("letters become lower case", "B.Example"),
        ("digits and inner hyphens", "a-1.2b.example"),
        ("a label of digits before the last", "1.example"),
        ("hyphens in the third and fourth place", "ab--c.example"),
        ("a U-label becomes an A-label", "bücher.example"),
        ("a capital U-label too", "BÜCHER.example"),
        ("an A-label is kept", "xn--bcher-kva.example"),
        ("an A-label in capitals becomes lower case", "XN--bcher-KVA.example"),
        ("an ideographic full stop joins labels", "bücher。example"),
        ("a deviation character as A-label is what it says", "xn--fa-hia.example"),
        ("Greek", "ελληνικά.example"),
        ("Han", "例え.example"),
        ("a label of 63 bytes", &format!("{}.example", "a".repeat(63))),
        ("a domain of 253 bytes", &format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61))),
    ] {
        m.good("domain.read", &["N-1"], shows, json!({ "text": text }));
    }
    for (shows, text) in [
        ("nothing", ""),
        ("one label", "example"),
        ("an empty label", "a..b"),
        ("a dot at the end", "b.example."),
        ("a dot at the beginning", ".b.example"),
        ("a hyphen first", "-a.example"),
        ("a hyphen last", "a-.example"),
        ("an underscore", "a_b.example"),
        ("a space", "a b.example"),
        ("a space at the end", "b.example "),
        ("a NUL", "a\0.example"),
        ("a line end", "b.example\r\n"),
        ("an IPv4 address", "127.0.0.1"),
        ("an address literal", "[127.0.0.1]"),
        ("a last label of digits", "b.123"),
        ("a port", "b.example:7678"),
        ("a label of 64 bytes", &format!("{}.example", "a".repeat(64))),
        ("a domain of 254 bytes", &format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62))),
        ("an A-label that encodes nothing", "xn--example-.example"),
        ("an A-label of ASCII in disguise", "xn--abc-.example"),
        ("an A-label that isn't decoded", "xn--a.example"),
        ("an empty A-label", "xn--.example"),
        ("a deviation character", "faß.example"),
        ("a deviation character beside an A-label", "xn--bcher-kva.faß.example"),
        ("a final sigma", "βόλος.example"),
        ("a zero width joiner", "a\u{200d}b.example"),
        ("a direction override", "ex\u{202e}ample.example"),
        ("a full-width solidus", "a／b.example"),
        ("an A-label of a capital", "xn--bcher-2pa.example"),
    ] {
        m.bad("domain.read", &["N-1"], shows, Class::Name, json!({ "text": text }));
    }
    for (shows, text) in [
        ("a plain address", "ann@a.example"),
        ("the local part is kept, the domain is mapped", "John.Doe+x@B.Example"),
        ("every mark of atext", "!#$%&'*+-/=?^_`{|}~@b.example"),
        ("quotes that aren't needed are dropped", "\"john\"@b.example"),
        ("quotes around a dot-atom are dropped", "\"john.doe\"@b.example"),
        ("a local part beyond ASCII", "jörg@b.example"),
        ("a local part that isn't normalised", "jo\u{308}rg@b.example"),
        ("both parts beyond ASCII", "用户@例え.example"),
        ("a local part of 64 bytes", &format!("{}@b.example", "a".repeat(64))),
        ("a local part of 64 bytes beyond ASCII", &format!("{}@b.example", "ö".repeat(32))),
        ("a quoted local part of 64 bytes", &format!("\"{}\"@b.example", "a".repeat(64))),
        ("one character", "a@b.example"),
    ] {
        m.good("address.read", &["N-2", "N-3"], shows, json!({ "text": text }));
    }
    for (shows, text) in [
        ("nothing", ""),
        ("only an at sign", "@"),
        ("no local part", "@b.example"),
        ("no domain", "a@"),
        ("no at sign", "a.b.example"),
        ("an empty quoted local part", "\"\"@b.example"),
        ("a quoted space", "\"a b\"@b.example"),
        ("a quoted at sign", "\"a@c\"@b.example"),
        ("a quoted escape", "\"a\\b\"@b.example"),
        ("a quoted dot at the end", "\"a.\"@b.example"),
        ("one quote", "\"a@b.example"),
        ("quotes around a part of it", "\"a\"b@b.example"),
        ("a comment", "a(c)@b.example"),
        ("angle brackets", "<a@b.example>"),
        ("a route", "@x.example:a@b.example"),
        ("a group", "g:a@b.example;"),
        ("two addresses", "a@b.example,c@d.example"),
        ("two at signs", "a@c@b.example"),
        ("a dot first", ".a@b.example"),
        ("a dot last", "a.@b.example"),
        ("two dots", "a..b@b.example"),
        ("a space", "a b@b.example"),
        ("a space at the beginning", " a@b.example"),
        ("a tab", "a\t@b.example"),
        ("a NUL", "a\0@b.example"),
        ("a line end", "a@b.example\r\n"),
        ("an address literal", "a@[192.0.2.1]"),
        ("a domain of one label", "a@localhost"),
        ("a direction override", "a\u{202e}@b.example"),
        ("a zero width space", "a\u{200b}@b.example"),
        ("a soft hyphen", "a\u{ad}b@b.example"),
        ("a no-break space", "a\u{a0}b@b.example"),
        ("a tag character", "a\u{e0041}@b.example"),
        ("a control of the second block", "a\u{85}@b.example"),
        ("a local part of 65 bytes", &format!("{}@b.example", "a".repeat(65))),
        ("a local part of 66 bytes beyond ASCII", &format!("{}@b.example", "ö".repeat(33))),
        ("a deviation character in the domain", "a@faß.example"),
    ] {
        m.bad("address.read", &["N-2"], shows, Class::Name, json!({ "text": text }));
    }
    for (shows, text) in [
        ("a sign that tables before Unicode 16 refuse", "a≠b.example"),
        ("a sign that is composed first", "a=\u{338}b.example"),
        ("a capital that tables before Unicode 16 refuse", "\u{10a0}.example"),
        ("a non-joiner between letters that would join", "xn--mgba3gch31f060k.example"),
    ] {
        m.good("domain.read", &["N-1"], shows, json!({ "text": text }));
    }
    for (shows, text) in [
        ("a capital sharp s, which older tables map to ss", "fa\u{1e9e}.example"),
        ("an A-label that decodes to nothing", "xn--.example"),
        ("a non-joiner where nothing joins", "xn--ab-j1t.example"),
    ] {
        m.bad("domain.read", &["N-1"], shows, Class::Name, json!({ "text": text }));
    }
    m
}
