//! The command line, as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use postline_core::id::{Address, DeviceKey, Domain, Lane, NodeKey};

use crate::device::NodeAt;

/// Postline turns an email reply into a direct line: the node of one or more mail domains.
#[derive(Debug, Parser)]
#[command(
    name = "postline",
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 bad usage or configuration, 3 node not running, 4 warnings (check)."
)]
pub(super) struct Cli {
    /// The configuration [default: ./postline.toml, else /etc/postline/postline.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON, one object, with stable keys
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a node: configuration, keys, a certificate to start with, and the DNS records to publish
    Init(InitArgs),
    /// Run the node
    Serve {
        /// Go down when standard input ends, so that the node never outlives who started it
        #[arg(long)]
        while_stdin: bool,
    },
    /// What keeps the node from working: ports, DNS, certificate, clock, disk, sockets, each with the next step
    ///
    /// Works whether or not the node runs. Exit status: 0 all is well, 1 something fails, 4 warnings only.
    Check {
        /// Print the DNS records to publish, as zone text, and look at nothing
        #[arg(long)]
        records: bool,
        /// Leave out what is well, and what was skipped
        #[arg(long)]
        brief: bool,
    },
    /// How the running node is
    Status,
    /// Users and their passwords
    #[command(subcommand)]
    User(UserCommand),
    /// Further addresses of users
    #[command(subcommand)]
    Alias(AliasCommand),
    /// What pairs of addresses are to each other
    #[command(subcommand)]
    Trust(TrustCommand),
    /// The node's own key, its backup, and a node made of one
    #[command(subcommand)]
    Node(NodeCommand),
    /// Mails that wait
    #[command(subcommand)]
    Queue(QueueCommand),
    /// How other nodes find this one, and know its key
    #[command(subcommand)]
    Discovery(DiscoveryCommand),
    /// What happened to a mail
    Trace {
        /// Its Message-ID, or its id on this node
        message_id: String,
    },
    /// The node's clock
    #[command(subcommand)]
    Clock(ClockCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Let the running node read users, certificates and the configuration again
    Reload,
    /// Let the running node finish what is under way, and stop
    Drain,
    /// Write the manual pages into a directory
    Manual {
        /// Where; it is made if it isn't there
        dir: PathBuf,
    },
    /// Print the completions for a shell
    Completions {
        /// For which
        shell: clap_complete::Shell,
    },
    /// Talk with a correspondent, sealed: this terminal is a device of yours
    ///
    /// Each line that is typed is said; /help shows the commands. With --json events come as one object a line, and
    /// commands may be objects too: {"do":"write","text":"hello"}. Where input ends, what was said is sent first.
    /// There must be a line with the correspondent (a mail and its reply), and this device must be enrolled.
    Chat {
        /// With whom
        #[arg(value_parser = Address::parse)]
        peer: Address,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Your devices: this one, and the others
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Show on this machine how a reply opens a line: two nodes, real mails, one killed in the middle; then three devices
    Demo(Demo),
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The node's directory
    #[arg(long, default_value = ".")]
    pub(super) dir: PathBuf,
    /// A mail domain to serve; may be given several times
    #[arg(long = "domain", required = true, value_name = "DOMAIN", value_parser = Domain::parse)]
    pub(super) domains: Vec<Domain>,
    /// The node's name in SMTP [default: mail.<first domain>]
    #[arg(long, value_parser = Domain::parse)]
    pub(super) hostname: Option<Domain>,
    /// The user who gets mail for postmaster@ and abuse@ [default: postmaster]
    #[arg(long, value_name = "USER")]
    pub(super) postmaster: Option<String>,
    /// Another key of the configuration, such as 'listen.smtp=["127.0.0.1:2525"]'; may be given several times
    #[arg(long = "set", value_name = "KEY=TOML")]
    pub(super) settings: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is asked for, or read from the first line of standard input
    Add {
        /// 1 to 64 of a-z 0-9 . _ + -
        name: String,
    },
    /// Give a user a new password, asked for or read from the first line of standard input
    Passwd {
        /// Who
        name: String,
    },
    /// List the users
    List,
    /// Whether mails from an address take offers along, and replies accepts [default: as `offers` of the configuration]
    Offers {
        /// The address
        #[arg(value_parser = Address::parse)]
        address: Address,
        /// `on` or `off`; lines that there are stay
        #[arg(action = clap::ArgAction::Set, value_parser = clap::builder::BoolishValueParser::new())]
        on: bool,
    },
    /// Remove a user; their mail stays
    Remove {
        /// Who
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AliasCommand {
    /// Let an address lead to a user
    Add {
        /// The address, in a domain of this node
        alias: String,
        /// To whom it leads
        user: String,
    },
    /// List the aliases
    List,
    /// Remove an alias
    Remove {
        /// Which
        alias: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// List pairs
    List {
        /// Only pairs of which one address starts so
        #[arg(default_value = "")]
        prefix: String,
        /// At most so many
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// Show a pair in full
    Show(PairArgs),
    /// Never again a line between the two, until unblocked
    Block(PairArgs),
    /// Back to strangers
    Unblock(PairArgs),
    /// Take the other key that a suspended line's new mail and reply have proven (see `trust show`)
    Accept {
        #[command(flatten)]
        pair: PairArgs,
        /// The key that must be the proposed one [default: whichever is]
        node_key: Option<String>,
    },
    /// No line with anybody of a domain, until unblocked
    BlockDomain {
        /// Which
        #[arg(value_parser = Domain::parse)]
        domain: Domain,
    },
    /// As before the domain was blocked
    UnblockDomain {
        /// Which
        #[arg(value_parser = Domain::parse)]
        domain: Domain,
    },
    /// List the blocked domains
    BlockedDomains,
}

#[derive(Debug, Args)]
pub(super) struct PairArgs {
    /// The address on this node
    #[arg(value_parser = Address::parse)]
    pub(super) ours: Address,
    /// The correspondent's address
    #[arg(value_parser = Address::parse)]
    pub(super) theirs: Address,
}

#[derive(Debug, Subcommand)]
pub(super) enum DiscoveryCommand {
    /// Show what to publish: the document at /.well-known/postline, and the DNS records
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Change the node's key to the next one, which its correspondents were told of; the node must not run
    Rotate {
        /// The seed of the next key, brought back from its safe place [default: keys/next.seed in the data directory]
        #[arg(long, value_name = "FILE")]
        next: Option<PathBuf>,
    },
    /// Write records, waiting mail, keys, users and configuration into a new directory, while the node runs
    ///
    /// The backup holds the node's secrets: keep it as you keep the keys. Mailboxes are not part of it.
    Backup {
        /// The directory, made; or empty, and its owner's alone
        dir: PathBuf,
    },
    /// Make a node of a backup: at --config, which may be there already, else is the backup's
    ///
    /// Nothing that is there is written over. Stop the old node for good before the new one starts: other nodes refuse
    /// it from then on.
    Restore {
        /// The backup
        dir: PathBuf,
        /// The store's generation from now on [default: the backup's and one more]; where this backup was restored
        /// before, one more than then
        #[arg(long)]
        generation: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List the mails that wait
    List {
        /// At most so many
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// Try what waits now
    Retry {
        /// Only mailbox/<user>, domain/<domain>, or node/<key>
        #[arg(value_parser = crate::words::parse_lane)]
        lane: Option<Lane>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every key that is in force, as TOML; what has no value stands as a comment
    Show {
        /// And where each comes from: file and line, or the default
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Confirm that the clock is right after a jump
    Accept,
}

/// Whose device this is, and where its node.
#[derive(Clone, Debug, Args)]
pub(super) struct OwnArgs {
    /// Your address [default: the one that the store is of]
    #[arg(long = "as", value_name = "ADDRESS", value_parser = Address::parse)]
    pub(super) address: Option<Address>,
    /// The directory of this device's keys and conversations [default: <data home>/postline/<address>]
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// Your node, where your domain doesn't name it; remembered
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) node: Option<NodeAt>,
    /// Your node's key, where nothing else vouches for it: `postline status` on the node shows it
    #[arg(long, value_name = "KEY", value_parser = NodeKey::parse)]
    pub(super) nk: Option<NodeKey>,
    /// Certificate authorities to trust instead of the system's, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) roots: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Make this device known to your node, with the mailbox's password: asked for, or read from standard input
    Enrol {
        /// The user name of the mailbox [default: what stands before the @]
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// List your devices
    List {
        #[command(flatten)]
        own: OwnArgs,
    },
    /// On a new device: show a code, and wait until an old one takes it in
    Join {
        #[command(flatten)]
        own: OwnArgs,
    },
    /// On an old device: take in the new one that shows this code, which is asked for or read from standard input
    Add {
        #[command(flatten)]
        own: OwnArgs,
    },
    /// A device of yours is none any more
    Revoke {
        /// Its key, as `list` shows it
        #[arg(value_parser = DeviceKey::parse)]
        device: DeviceKey,
        /// It was stolen: go over to the key of this backup, whose passphrase is asked for or read from standard input
        #[arg(long, value_name = "FILE")]
        stolen: Option<PathBuf>,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Look for what was said, in this device's own store: words, "phrases", and beginnings of words before a `*`
    Search {
        /// What to look for; all of it must be said in one message
        #[arg(required_unless_present = "rebuild")]
        words: Vec<String>,
        /// Only with this correspondent
        #[arg(long, value_name = "ADDRESS", value_parser = Address::parse)]
        with: Option<Address>,
        /// How many at most, the newest first
        #[arg(long, value_name = "COUNT", default_value_t = super::search::MOST)]
        most: usize,
        /// Make the index of what was said anew first
        #[arg(long)]
        rebuild: bool,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Compare codes with a correspondent; answer `same` or `differ` on standard input
    Verify {
        /// With whom
        #[arg(value_parser = Address::parse)]
        peer: Address,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// No line with a correspondent any more, whatever they write, until unblocked
    Block {
        /// Whom
        #[arg(value_parser = Address::parse)]
        peer: Address,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Take a block back: they are a stranger then
    Unblock {
        /// Whom
        #[arg(value_parser = Address::parse)]
        peer: Address,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// On a node: run a device for a person who has only a mail program; the node can read what is sealed to them
    Host {
        /// The person's address
        #[arg(value_parser = Address::parse)]
        address: Address,
    },
    /// On a node: let in the own device of a person whose device it runs; the code is asked for or read from standard input
    Approve {
        /// The person's address
        #[arg(value_parser = Address::parse)]
        address: Address,
    },
    /// Write a backup of your keys into a new file, and show its passphrase once
    Backup {
        /// The file, made
        file: PathBuf,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// On a new device: take your keys from a backup; the passphrase is asked for or read from standard input
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        own: OwnArgs,
    },
}

/// How the demo runs.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Demo {
    /// Leave both nodes up, and say how to reach them with a mail program
    #[arg(long)]
    pub keep: bool,
    /// Send these mails along, each as an attached message
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub eml: Vec<PathBuf>,
}
