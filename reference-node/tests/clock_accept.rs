//! A wall clock that was years ahead, set right, and accepted by the operator (attack 110).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postline_codec::mime;
use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::id::{Address, Domain, MailId, Mailbox};
use postline_core::net::Allowed;
use postline_core::server::{Ours, Server};
use postline_core::time::{DAY, MINUTE, Millis};
use postline_node::clock::Clock;
use postline_node::config::{Config, file_text};
use postline_node::directory::{Directory, Live};
use postline_node::discovery::Discovery;
use postline_node::dns::{Resolver, Zone};
use postline_node::doors;
use postline_node::hand_over::Security;
use postline_node::hands::{Bodies, Hands, Outward, World};
use postline_node::init::KeyFiles;
use postline_node::link::{Links, NodeHost, Timing};
use postline_node::logins::Logins;
use postline_node::maildir::Maildirs;
use postline_node::metrics::Metrics;
use postline_node::owner::{Answer, Inbox, Message, Owner};
use postline_node::session::Sessions;
use postline_node::spool::Incoming;
use postline_node::store::Store;
use postline_node::tls;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// The wall clock, which the test sets.
static WALL: AtomicU64 = AtomicU64::new(0);

fn wall() -> Millis {
    Millis(WALL.load(Ordering::SeqCst))
}

/// A node of `a.example` without sockets; nobody's mail server can be found.
fn node(dir: &std::path::Path) -> (Owner, Inbox, Store) {
    let set = [("data_dir", "\".\""), ("hostname", "\"mail.a.example\""), ("domains", "[\"a.example\"]")];
    let file = dir.join("postline.toml");
    std::fs::write(&file, file_text(&set.map(|(key, value)| (key.to_owned(), value.to_owned())))).unwrap();
    let config = Config::load(&file).unwrap();
    std::fs::create_dir(dir.join("keys")).unwrap();
    let keys = KeyFiles::of(dir);
    keys.make().unwrap();
    let store_dir = dir.join("store");
    let store = Store::open(&store_dir).unwrap();
    let spool = store.spool();
    drop(store);
    let (inbox, messages) = mpsc::channel(64);
    let bodies = Bodies::open(&store_dir).unwrap();
    let people = Arc::new(Live::new(Directory::load(&config).unwrap()));
    let hostname = config.hostname.clone();
    let logins = Arc::new(Logins::new(config.domains.clone(), Arc::clone(&people), None));
    let sessions = Sessions::new(inbox.clone(), logins);
    let host = NodeHost { hostname, inbox: inbox.clone(), people, spool, bodies: bodies.clone() };
    let links = Links::new(host, Arc::new(tls::link_client().unwrap()), Timing::default());
    let resolver = Arc::new(Resolver::Zone(Zone::parse("b.example FAIL\n").unwrap()));
    let world = World {
        dir: dir.to_owned(),
        hostname: config.hostname.clone(),
        postmaster: doors::postmaster(&config.hostname),
        maildirs: Maildirs::open(&config.maildir_root).unwrap(),
        discovery: Discovery::new(Arc::clone(&resolver), None, Allowed::default()),
        resolver,
        allow: Allowed::default(),
        signers: BTreeMap::new(),
        outward: Outward::Mx(Security::Opportunistic(Arc::new(tls::smtp_client_of_any().unwrap()))),
        deliver: None,
    };
    let hands = Hands::new(world, Handle::current(), inbox.clone(), links, sessions, bodies).unwrap();
    let remake = Box::new(move |generation, records| {
        let domains = BTreeSet::from([Domain::parse("a.example").unwrap()]);
        Server::restore(
            Ours { identity: keys.identity().unwrap(), domains, hint: None, offers: true, generation },
            records,
        )
    });
    let owner = Owner::start(store_dir, remake, messages, hands, Metrics::new("test")).unwrap().by(Clock::over(wall));
    let other = Store::open(&dir.join("other")).unwrap();
    (owner, inbox, other)
}

/// A mail of one@a.example to two@b.example, as submission hands it in.
async fn submit(inbox: &Inbox, store: &Store) -> Answer {
    let mail = b"From: one@a.example\r\nTo: two@b.example\r\nMessage-ID: <m@a.example>\r\n\r\nHello\r\n";
    let mut body = Incoming::new(&store.spool());
    body.write(mail).unwrap();
    let staged = body.finish().unwrap();
    let address = |text| Address::parse(text).unwrap();
    let mail = MailIn {
        source: Source::User { login: Mailbox("one".to_owned()), author: Some(address("one@a.example")) },
        envelope: MailEnvelope {
            from: Some(address("one@a.example")),
            to: vec![Rcpt { address: address("two@b.example"), mailbox: None }],
        },
        head: mime::scan(mail),
        blob: staged.blob,
        received: "Received: by mail.a.example".to_owned(),
    };
    let (answer, answered) = oneshot::channel();
    inbox.send(Message::Mail(MailId([1; 16]), Box::new(mail), staged, answer)).await.unwrap();
    answered.await.unwrap()
}

/// Waits until the mail was tried so often; each look lets the owner see the clock.
async fn attempts(inbox: &Inbox, want: u32) {
    let tries = async {
        loop {
            let seen = |look: &postline_node::owner::Look<'_>| {
                look.server.lanes().flat_map(|(_, queue)| queue.entries()).map(|entry| entry.attempts).max()
            };
            if doors::look(inbox, seen).await.unwrap() == Some(want) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), tries).await.unwrap_or_else(|_| panic!("not tried {want} times"));
}

#[tokio::test(flavor = "multi_thread")]
async fn t_110_time_goes_on_after_a_clock_that_was_years_ahead_is_set_right() {
    let dir = tempfile::tempdir().unwrap();
    let now = 1_800_000_000_000;
    WALL.store(now + 3_650 * DAY, Ordering::SeqCst);
    let (owner, inbox, other) = node(dir.path());
    let runtime = Handle::current();
    let thread = std::thread::spawn(move || owner.run(&runtime));
    assert!(matches!(submit(&inbox, &other).await, Answer::Took(postline_core::server::Took::Yes)));
    attempts(&inbox, 1).await;

    WALL.store(now, Ordering::SeqCst);
    // The first look lets the owner see the clock.
    doors::look(&inbox, |_| ()).await.unwrap();
    assert!(doors::look(&inbox, |look| look.clock.jump().is_some()).await.unwrap(), "nobody follows it unasked");
    inbox.send(Message::AcceptClock).await.unwrap();
    attempts(&inbox, 2).await;
    assert!(!doors::look(&inbox, |look| look.clock.jump().is_some()).await.unwrap());
    // Ten years before the time that the machine has seen, timers run.
    WALL.fetch_add(50 * MINUTE, Ordering::SeqCst);
    attempts(&inbox, 3).await;

    let (done, stopped) = oneshot::channel();
    inbox.send(Message::Stop(done)).await.unwrap();
    stopped.await.unwrap();
    thread.join().unwrap();
}
