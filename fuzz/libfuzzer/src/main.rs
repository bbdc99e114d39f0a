//! libFuzzer against one body: `POSTLINE_TARGET` names it. One program for all, since building one takes minutes.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use postline_fuzz::Body;

static BODY: OnceLock<Body> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("POSTLINE_TARGET").expect("POSTLINE_TARGET names a target");
        BODY.get_or_init(|| postline_fuzz::body(&name));
    },
    |bytes: &[u8]| {
        BODY.get().expect("set before the first input")(bytes);
    }
);
