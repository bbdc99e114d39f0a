//! The `postline` program: the command line, joined with the parts that it starts.

use std::process::ExitCode;

use postline_node::cli::{self, Demo, PartFault};
use postline_node::config::Config;

fn main() -> ExitCode {
    cli::main(&Parts)
}

/// The parts, each refused until it is joined here.
struct Parts;

impl cli::Parts for Parts {
    fn serve(&self, _config: Config) -> Result<(), PartFault> {
        Err("serve is not part of this build".into())
    }

    fn demo(&self, _demo: &Demo, _json: bool) -> Result<bool, PartFault> {
        Err("demo is not part of this build".into())
    }
}
