//! The command line: what is typed, done, and said.
//!
//! ```text
//!   init ──▶ a new directory          serve, demo ──▶ Parts (what others build)
//!   node rotate ──▶ keys/, while the node is down
//!   init, node restore ──▶ a new directory          serve, demo ──▶ Parts (what others build)
//!   user, alias ──▶ users.json ──▶ the running node follows
//!   chat, device ──▶ a device of a person, with a store of its own ──▶ its node
//!   the rest ──▶ admin socket ──▶ the running node
//! ```
//!
//! Exit status: 0 done, 1 failed, 2 bad usage or configuration, 3 node not running, 4 warnings only (`check`).

mod args;
mod chat;
mod device;
mod docs;
mod search;
mod show;

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use postline_core::id::{Domain, Mailbox};
use serde_json::json;
use zeroize::Zeroizing;

use crate::admin::{self, Answer, AskFault, AskPair, RefusalCode, Request};
use crate::backup::{self, BackupFault};
use crate::check::{self, Level};
use crate::config::{Config, ConfigFault};
use crate::directory::Directory;
use crate::discovery::published;
use crate::init::{Init, InitFault, KeyFiles};
use crate::shown::shown;
pub use args::Demo;
use args::{
    AliasCommand, Cli, ClockCommand, Command, ConfigCommand, DeviceCommand, DiscoveryCommand, InitArgs, NodeCommand,
    PairArgs, QueueCommand, TrustCommand, UserCommand,
};

/// Whatever went wrong in a part.
pub type PartFault = Box<dyn Error + Send + Sync>;

/// What the command line starts, and others build.
pub trait Parts {
    /// Runs the node until it is told to stop, or, `while_stdin`, until standard input ends. Logging is up.
    ///
    /// # Errors
    /// Why it could not start, or had to stop.
    fn serve(&self, config: Config, while_stdin: bool) -> Result<(), PartFault>;

    /// Runs the demo, and prints what it shows; `false` where it failed.
    ///
    /// # Errors
    /// Why it could not run.
    fn demo(&self, demo: &Demo, json: bool) -> Result<bool, PartFault>;
}

/// Does what the process was called for.
pub fn main(parts: &impl Parts) -> ExitCode {
    // Usage faults, `--help` and `--version` end here, with 2, 0 and 0.
    let cli = Cli::parse();
    let json = cli.json;
    let mut out = io::stdout().lock();
    match run(cli, parts, &mut out).and_then(|status| Ok((status, out.flush()?))) {
        Ok((status, ())) => ExitCode::from(status),
        Err(failure) => {
            let (status, code) = failure.kind();
            let message = shown(&failure.to_string(), 2_048);
            // Where even this can't be written, the status still says it.
            let _ = if json {
                show::json(&mut out, &json!({ "error": { "code": code, "message": message } }))
            } else {
                writeln!(io::stderr(), "postline: {message}")
            };
            ExitCode::from(status)
        }
    }
}

/// Why a command wasn't done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigFault),
    #[error(transparent)]
    Ask(#[from] AskFault),
    #[error(transparent)]
    Refused(#[from] admin::Refusal),
    #[error(transparent)]
    Directory(#[from] crate::directory::DirectoryFault),
    #[error(transparent)]
    Init(InitFault),
    #[error(transparent)]
    Backup(#[from] BackupFault),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Part(#[from] PartFault),
}

impl Failure {
    /// The exit status, and the word for programs.
    fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Usage(_) => (2, "usage"),
            Self::Config(_)
            | Self::Backup(BackupFault::Config(_))
            | Self::Init(InitFault::Config(_) | InitFault::UnknownKey(_)) => (2, "config"),
            Self::Ask(AskFault::NotRunning(_)) => (3, "not_running"),
            Self::Refused(refusal) => match refusal.code {
                RefusalCode::Malformed => (1, "malformed"),
                RefusalCode::NotFound => (1, "not_found"),
                RefusalCode::Busy => (1, "busy"),
                RefusalCode::Failed => (1, "failed"),
            },
            Self::Ask(AskFault::Io(_) | AskFault::Malformed(_))
            | Self::Directory(_)
            | Self::Backup(_)
            | Self::Init(
                InitFault::Exists(_)
                | InitFault::Key(_)
                | InitFault::Certificate(_)
                | InitFault::Dkim(_)
                | InitFault::Io { .. },
            )
            | Self::Io(_)
            | Self::Part(_) => (1, "failed"),
        }
    }
}

/// Does one command; gives the exit status, which says more than 0 where it ran and isn't content.
fn run(cli: Cli, parts: &impl Parts, out: &mut dyn Write) -> Result<u8, Failure> {
    let config = || Config::load(&config_file(cli.config.clone()));
    match cli.command {
        Command::Init(args) => {
            let made = crate::init::init(&wish(args)?).map_err(Failure::Init)?;
            if cli.json { show::json(out, &json!({ "init": made }))? } else { show::made(out, &made)? }
        }
        Command::Serve { while_stdin } => {
            let config = config()?;
            crate::log::install(config.log).map_err(|why| Failure::Part(why.into()))?;
            parts.serve(config, while_stdin)?;
        }
        Command::Discovery(DiscoveryCommand::Show) => {
            let config = config()?;
            let identity = KeyFiles::of(&config.data_dir).identity().map_err(|why| Failure::Part(why.into()))?;
            let published = published(&identity, &config);
            if cli.json {
                show::json(out, &json!({ "discovery": published }))?;
            } else {
                show::published(out, &published)?;
            }
        }
        Command::User(UserCommand::Offers { address, on }) => {
            ask(&config()?, &Request::UserOffers { address, on }, cli.json, out)?;
        }
        Command::Node(NodeCommand::Rotate { next }) => rotate(&config()?, next.as_deref(), cli.json, out)?,
        Command::Chat { peer, own } => chat::chat(&peer, &own, cli.json, out)?,
        Command::Device(DeviceCommand::Host { address }) => {
            ask(&config()?, &Request::DeviceHost { address }, cli.json, out)?;
        }
        Command::Device(DeviceCommand::Approve { address }) => {
            let code = admin::Code(device::code()?.as_str().to_owned());
            ask(&config()?, &Request::DeviceApprove { address, code }, cli.json, out)?;
        }
        Command::Device(DeviceCommand::Search { words, with, most, rebuild, own }) => {
            let (dir, _) = device::place(&own)?;
            if rebuild {
                search::rebuild(&dir)?;
            }
            if !words.is_empty() {
                search::search(&dir, &search::Asked::of(&words, with, most)?, cli.json, out)?;
            }
        }
        Command::Device(command) => return device::run(command, cli.json, out),
        Command::Demo(demo) => return Ok(u8::from(!parts.demo(&demo, cli.json)?)),
        Command::Check { records: true, .. } => {
            let text = check::zone_text(&config()?)?;
            if cli.json { show::json(out, &json!({ "zone": text }))? } else { write!(out, "{text}")? }
        }
        Command::Check { records: false, brief } => return check(&config()?, cli.json, brief, out),
        Command::User(command) => user(command, &config()?, cli.json, out)?,
        Command::Alias(command) => alias(command, &config()?, cli.json, out)?,
        Command::Status => ask(&config()?, &Request::Status {}, cli.json, out)?,
        Command::Trust(command) => ask(&config()?, &trust(command), cli.json, out)?,
        Command::Queue(QueueCommand::List { limit }) => {
            ask(&config()?, &Request::QueueList { limit: limit.min(admin::ROWS) }, cli.json, out)?;
        }
        Command::Queue(QueueCommand::Retry { lane }) => ask(&config()?, &Request::QueueRetry { lane }, cli.json, out)?,
        Command::Trace { message_id } => {
            let message_id = message_id.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
            ask(&config()?, &Request::Trace { message_id }, cli.json, out)?;
        }
        Command::Clock(ClockCommand::Accept) => ask(&config()?, &Request::ClockAccept {}, cli.json, out)?,
        Command::Config(ConfigCommand::Show { origin }) => {
            let keys = Config::effective(&config_file(cli.config.clone()))?;
            if cli.json {
                show::json(out, &json!({ "config": show::keys_json(&keys, origin) }))?
            } else {
                show::keys(out, &keys, origin)?
            }
        }
        Command::Node(NodeCommand::Backup { dir }) => {
            let made = backup::backup(&config()?, &dir, crate::clock::wall().0)?;
            let hash = backup::manifest_hash(&dir)?;
            if cli.json {
                show::json(out, &json!({ "backup": made, "manifest_sha256": hash }))?
            } else {
                show::backup(out, &dir, &made, &hash)?
            }
        }
        Command::Node(NodeCommand::Restore { dir, generation }) => {
            let made = backup::restore(&dir, &config_file(cli.config.clone()), generation)?;
            if cli.json { show::json(out, &json!({ "restored": made }))? } else { show::restored(out, &made)? }
        }
        Command::Reload => ask(&config()?, &Request::Reload {}, cli.json, out)?,
        Command::Manual { dir } => {
            let written = docs::manual(&dir)?;
            if cli.json {
                show::json(out, &json!({ "manual": written }))?;
            } else {
                written.iter().try_for_each(|page| writeln!(out, "{page}"))?;
            }
        }
        Command::Completions { shell } => docs::completions(shell, out)?,
        Command::Drain => ask(&config()?, &Request::Drain {}, cli.json, out)?,
    }
    Ok(0)
}

/// Looks at everything, and says what it found.
fn check(config: &Config, json: bool, brief: bool, out: &mut dyn Write) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(async { Ok::<_, PartFault>(check::run(&check::Scene::real(config)?).await) })?;
    // A resolver's tasks may still wait for answers that nobody wants any more.
    runtime.shutdown_background();
    let worst = check::worst(&findings);
    if json {
        show::json(out, &json!({ "check": { "worst": worst, "findings": findings } }))?;
    } else {
        show::findings(out, &findings, brief)?;
    }
    Ok(match worst {
        Level::Ok | Level::Skipped => 0,
        Level::Failure => 1,
        Level::Warning => 4,
    })
}

fn config_file(named: Option<PathBuf>) -> PathBuf {
    let here = Path::new("postline.toml");
    match named {
        Some(file) => file,
        None if here.exists() => here.to_owned(),
        None => Path::new("/etc/postline/postline.toml").to_owned(),
    }
}

fn wish(args: InitArgs) -> Result<Init, Failure> {
    let hostname = match (args.hostname, args.domains.first()) {
        (Some(hostname), _) => hostname,
        (None, Some(domain)) => {
            Domain::parse(&format!("mail.{domain}")).map_err(|why| Failure::Usage(format!("--hostname: {why}")))?
        }
        (None, None) => return Err(Failure::Usage("want --domain".into())),
    };
    let postmaster = args.postmaster.map(|user| ("postmaster".to_owned(), toml::Value::String(user).to_string()));
    let mut settings: Vec<(String, String)> = postmaster.into_iter().collect();
    for setting in &args.settings {
        let (key, value) = setting.split_once('=').ok_or_else(|| Failure::Usage("--set: want KEY=TOML".into()))?;
        settings.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(Init { dir: args.dir, domains: args.domains, hostname, settings })
}

fn user(command: UserCommand, config: &Config, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut directory = Directory::load(config)?;
    match command {
        UserCommand::Add { name } => directory.add(&name, &password(&name)?)?,
        UserCommand::Passwd { name } => directory.passwd(&name, &password(&name)?)?,
        UserCommand::Remove { name } => directory.remove(&name)?,
        // Asked of the running node: it is no file's.
        UserCommand::Offers { .. } => return Ok(()),
        UserCommand::List if json => {
            let row = |user: &Mailbox| {
                let aliases = directory.aliases().filter(|(_, leads)| *leads == user);
                json!({ "user": user.0, "aliases": aliases.map(|(alias, _)| alias.to_string()).collect::<Vec<_>>() })
            };
            return Ok(show::json(out, &json!({ "users": directory.users().map(row).collect::<Vec<_>>() }))?);
        }
        UserCommand::List => return Ok(show::users(out, &directory)?),
    }
    changed(config, json, out)
}

/// Changes the node's key. A running node would go on with the old one, so it must be stopped first.
fn rotate(config: &Config, next: Option<&Path>, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    match admin::ask(&config.admin_socket, &Request::Status {}) {
        Err(AskFault::NotRunning(_)) => {}
        Ok(_) => return Err(Failure::Usage("the node runs: stop it first (`postline drain`)".into())),
        Err(fault @ (AskFault::Io(_) | AskFault::Malformed(_))) => return Err(fault.into()),
    }
    let keys = KeyFiles::of(&config.data_dir);
    let rotated = keys.rotate(next).map_err(|fault| Failure::Init(InitFault::Key(fault)))?;
    if json {
        return Ok(show::json(out, &json!({ "rotated": rotated }))?);
    }
    Ok(show::rotated(out, &rotated)?)
}

fn alias(command: AliasCommand, config: &Config, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut directory = Directory::load(config)?;
    match command {
        AliasCommand::Add { alias, user } => directory.add_alias(&alias, &user)?,
        AliasCommand::Remove { alias } => directory.remove_alias(&alias)?,
        AliasCommand::List if json => {
            let rows = directory.aliases().map(|(alias, user)| json!({ "alias": alias.to_string(), "user": user.0 }));
            return Ok(show::json(out, &json!({ "aliases": rows.collect::<Vec<_>>() }))?);
        }
        AliasCommand::List => return Ok(show::aliases(out, &directory)?),
    }
    changed(config, json, out)
}

/// Says that users changed: to the node, where it runs, and to the caller.
fn changed(config: &Config, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    match admin::ask(&config.admin_socket, &Request::Reload {}) {
        Ok(Answer::Refused(refusal)) => return Err(refusal.into()),
        Ok(_) | Err(AskFault::NotRunning(_)) => {}
        Err(fault @ (AskFault::Io(_) | AskFault::Malformed(_))) => return Err(fault.into()),
    }
    say(&Answer::Done {}, json, out)
}

fn trust(command: TrustCommand) -> Request {
    let pair = |PairArgs { ours, theirs }| AskPair { ours, theirs };
    match command {
        TrustCommand::List { prefix, limit } => Request::TrustList { prefix, limit: limit.min(admin::ROWS) },
        TrustCommand::Show(args) => Request::TrustShow(pair(args)),
        TrustCommand::Block(args) => Request::TrustBlock(pair(args)),
        TrustCommand::Unblock(args) => Request::TrustUnblock(pair(args)),
        TrustCommand::Accept { pair: PairArgs { ours, theirs }, node_key } => {
            Request::TrustAccept { ours, theirs, node_key }
        }
        TrustCommand::BlockDomain { domain } => Request::TrustBlockDomain { domain },
        TrustCommand::UnblockDomain { domain } => Request::TrustUnblockDomain { domain },
        TrustCommand::BlockedDomains => Request::TrustBlockedDomains {},
    }
}

fn ask(config: &Config, request: &Request, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    say(&admin::ask(&config.admin_socket, request)?, json, out)
}

fn say(answer: &Answer, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if let Answer::Refused(refusal) = answer {
        return Err(refusal.clone().into());
    }
    if json {
        show::json(out, answer)?
    } else {
        show::answer(out, answer)?
    }
    Ok(())
}

/// A password, from the terminal twice and unseen, else from the first line of standard input. Never from the command
/// line, which others can read.
fn password(name: &str) -> Result<Zeroizing<String>, Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        let name = shown(name, 64);
        let first = Zeroizing::new(rpassword::prompt_password(format!("Password for {name}: "))?);
        let again = Zeroizing::new(rpassword::prompt_password("The same again: ")?);
        return if first == again { Ok(first) } else { Err(Failure::Usage("the two passwords differ".into())) };
    }
    let mut line = Zeroizing::new(String::new());
    input.lock().take(4 * 1024).read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Zeroizing::new(password.strip_suffix('\r').unwrap_or(password).to_owned()))
}
