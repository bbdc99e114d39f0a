//! `postline-conformance`: runs the specification's vectors against an implementation in any language.
//!
//! There are no vectors yet: they come with the chapters that other implementations start from. Until then this program
//! says so, with the exit status that the runner uses for what is not implemented.

use std::io::Write;
use std::process::ExitCode;

/// Not implemented, neither passed nor failed.
const UNIMPLEMENTED: u8 = 89;

fn main() -> ExitCode {
    // Where even this can't be written, the status still says it.
    let _ = writeln!(std::io::stderr(), "postline-conformance: no vectors yet");
    ExitCode::from(UNIMPLEMENTED)
}
