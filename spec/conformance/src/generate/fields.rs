//! The grammar of the fields, how they are written, and the content hash.

use serde_json::json;

use super::Making;
use crate::answer::Class;
use crate::input::hex;

pub(super) fn field() -> Making {
    let mut m =
        Making::new("field", "Tags: their grammar, white space and folds, how they are written; the content hash.");
    let long = |len: usize| format!("v={}", "a".repeat(len));
    let many = |n: usize| (0..n).map(|at| format!("a{at}=1")).collect::<Vec<_>>().join("; ");
    for (shows, body) in [
        ("one tag", "v=1"),
        ("three tags", " v=1; n=AAAA/+==; b=BBBB"),
        ("no white space at all", "v=1;n=AAAA/+==;b=BBBB"),
        ("any order", "b=BBBB;n=AAAA;v=1"),
        ("folds around tags", " v=1;\r\n\tn=AAAA;\r\n b=BBBB"),
        ("a fold within a value", " v=1; n=AA\r\n AA; b=BB\r\n\tBB"),
        ("spaces and tabs within a value", "n=A B\tC D"),
        ("white space behind the equals sign", "v= 1; b= \t BBBB"),
        ("white space at both ends", " \t v=1 \t "),
        ("an equals sign within a value", "n==a=="),
        ("every visible character but the semicolon", "n=!\"#$%&'()*+,-./:<=>?@[\\]^_`{|}~"),
        ("a name of sixteen characters", "abcdefghijklmnop=1"),
        ("digits in a name", "a1b2=x"),
        ("sixteen tags", &many(16)),
        ("512 bytes", &long(510)),
        ("512 bytes, and white space that doesn't count", &format!("v= \r\n {}", "a ".repeat(510).trim_end())),
        ("a tag that no field has", "zz=anything"),
        ("a comma parts no tags", "v=1, b=2, v=1"),
    ] {
        m.good("field.read", &["F-2"], shows, json!({ "body": body }));
    }
    for (shows, body) in [
        ("nothing", ""),
        ("only white space", " \r\n "),
        ("only a semicolon", ";"),
        ("a semicolon at the end", "v=1;"),
        ("a semicolon at the end, and white space", "v=1; "),
        ("a semicolon at the beginning", ";v=1"),
        ("two semicolons", "v=1;;b=2"),
        ("no equals sign", "v"),
        ("no value", "v="),
        ("a value of white space", "v= \t; b=2"),
        ("no name", "=1"),
        ("a capital in a name", "V=1"),
        ("a digit first in a name", "1v=1"),
        ("a hyphen in a name", "v-w=1"),
        ("an underscore in a name", "v_w=1"),
        ("white space behind a name", "v =1"),
        ("white space within a name", "n k=1"),
        ("a fold within a name", "n\r\n k=1"),
        ("a name of seventeen characters", "abcdefghijklmnopq=1"),
        ("a tag twice", "v=1; v=1"),
        ("a tag twice, with two values", "v=1; b=2; v=2"),
        ("a value beyond ASCII", "v=é"),
        ("a no-break space", "v=\u{a0}1"),
        ("a NUL", "v=\0"),
        ("a DEL", "v=\u{7f}"),
        ("a vertical tab", "v=1\u{b}2"),
        ("seventeen tags", &many(17)),
        ("513 bytes", &long(511)),
    ] {
        m.bad("field.read", &["F-2"], shows, Class::Field, json!({ "body": body }));
    }
    for (shows, name, tags) in [
        ("v first, b last", "Postline-Offer", json!({ "b": "sig", "ak": "k", "v": "1", "x": "90" })),
        (
            "the others by name",
            "Postline-Accept",
            json!({ "v": "1", "re": "r", "n": "n", "nk": "k", "t": "1", "b": "s" }),
        ),
        ("an id", "Postline-Id", json!({ "v": "1", "t": "1", "id": "i", "bh": "h", "nk": "k", "b": "s" })),
    ] {
        m.good("field.write", &["F-2"], shows, json!({ "name": name, "tags": tags }));
    }
    let date = "Mon, 01 Jun 2026 10:00:00 +0000";
    for (shows, subject, body) in [
        ("a plain mail", "lunch", "At noon?\r\n"),
        ("empty lines at the end don't count", "lunch", "At noon?\r\n\r\n\r\n"),
        ("nor does the last line end", "lunch", "At noon?"),
        ("no subject", "", "At noon?\r\n"),
        ("no body", "lunch", ""),
        ("a body of empty lines", "lunch", "\r\n\r\n"),
        ("empty lines within", "lunch", "\r\nAt\r\n\r\nnoon?\r\n"),
        ("spaces at the end count", "lunch", "At noon? \r\n \r\n"),
        ("a subject beyond ASCII", "Grüße", "At noon?\r\n"),
        ("an encoded word stays as it is written", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "At noon?\r\n"),
    ] {
        let input = json!({ "date": date, "subject": subject, "body": hex(body) });
        m.good("content.make", &["F-4"], shows, input);
    }
    m.good("field.read", &["F-2"], "two folds, one behind the other", json!({ "body": "v=1;\r\n \r\n b=2" }));
    for (shows, body) in [
        ("a line end that ends the body", "v=1\r\n"),
        ("a line end before no white space", "v=1;\r\nb=2"),
        ("a bare CR", "v=1;\rb=2"),
        ("a bare LF before a space", "v=1;\n b=2"),
    ] {
        m.bad("field.read", &["F-2"], shows, Class::Field, json!({ "body": body }));
    }
    m
}
