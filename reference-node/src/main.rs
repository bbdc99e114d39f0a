//! The `postline` program: the command line, joined with the parts that it starts.

use std::process::ExitCode;

use postline_node::cli::{self, Demo, PartFault};
use postline_node::config::Config;

fn main() -> ExitCode {
    cli::main(&Parts)
}

struct Parts;

impl cli::Parts for Parts {
    fn serve(&self, config: Config, while_stdin: bool) -> Result<(), PartFault> {
        postline_node::serve::serve(config, while_stdin)
    }

    fn demo(&self, demo: &Demo, json: bool) -> Result<bool, PartFault> {
        postline_node::demo::run(demo, json)
    }
}
