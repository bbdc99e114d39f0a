//! What is made of the command line's and the configuration's own descriptions: manual pages and completions.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::Cli;
use crate::config::{Change, Default, KEYS};

/// Writes a page for the program, one for each command, and one for the configuration; gives their names.
pub(super) fn manual(dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut written = Vec::new();
    let mut command = Cli::command();
    command.build();
    pages(&command, "postline", dir, &mut written)?;
    let name = "postline.toml.5";
    fs::write(dir.join(name), configuration()?)?;
    written.push(name.to_owned());
    Ok(written)
}

fn pages(command: &clap::Command, name: &str, dir: &Path, written: &mut Vec<String>) -> io::Result<()> {
    let page = format!("{name}.1");
    let mut text = Vec::new();
    Man::new(command.clone()).title(name).render(&mut text)?;
    fs::write(dir.join(&page), text)?;
    written.push(page);
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        pages(inner, &format!("{name}-{}", inner.get_name()), dir, written)?;
    }
    Ok(())
}

/// `postline.toml(5)`, from the table of keys.
fn configuration() -> io::Result<Vec<u8>> {
    let mut page = Roff::new();
    page.control("TH", ["postline.toml", "5"]);
    page.control("SH", ["NAME"]);
    page.text([roman("postline.toml - the configuration of a Postline node")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "One TOML file, read from --config, else ./postline.toml, else /etc/postline/postline.toml. Unknown keys are \
         refused with file, line and the nearest known key. Changes take effect on SIGHUP or `postline reload`; those \
         marked (restart) when the node starts again.",
    )]);
    page.control("SH", ["KEYS"]);
    for key in KEYS {
        page.control("TP", []);
        page.text([bold(key.path)]);
        let value = match key.default {
            Default::Required(example) => format!("Required, for example {example}."),
            Default::Is(value) => format!("Default: {value}."),
            Default::None(example) => format!("No default; for example {example}."),
        };
        let restart = if matches!(key.change, Change::Restart(_)) { " (restart)" } else { "" };
        page.text([roman(format!("{} {value}{restart}", key.doc.replace('\n', " ")))]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("postline(1)")]);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    Ok(text)
}

/// Writes the completions for a shell.
pub(super) fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postline", &mut text);
    out.write_all(&text)
}
