//! A node, put together: listeners, the owner on its thread, doors between them, signals, and a graceful end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postline_codec::word::MEDIA_TYPE;
use postline_core::server::{Ours, Server};
use postline_core::store::Record;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::admin;
use crate::beside::{Listener, Place};
use crate::cli::PartFault;
use crate::config::{Config, HostedDevices, SmarthostTls};
use crate::directory::{Directory, Live};
use crate::discovery::{Discovery, Documents, well_known};
use crate::dkim::Signer;
use crate::dns::{Resolver, Zone};
use crate::doors::{self, MailDoor};
use crate::dovecot;
use crate::hand_over::{Login, Security};
use crate::hands::{Bodies, Hands, Outward, World};
use crate::hosted::{Around, Hosted};
use crate::http::{self, Audience, Pages, Probe};
use crate::init::{KeyFiles, is_self_signed};
use crate::link::{Links, NodeHost, Timing};
use crate::logins::Logins;
use crate::maildir::Maildirs;
use crate::metrics::Metrics;
use crate::milter::server::Milter;
use crate::operator::Operator;
use crate::owner::{INBOX, Message, Owner};
use crate::private_file;
use crate::session::{Browsers, Sessions};
use crate::smtp::door;
use crate::smtp::server::{Port, Server as SmtpServer, TlsSource};
use crate::store::Store;
use crate::supervisor::{self, Inherited};
use crate::tls::{self, CertificateFiles, Reloadable, TlsFault};

/// How long the end of a node may take, sessions and links included.
const END: Duration = Duration::from_secs(30);
/// How long the last frames on links may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often the directory is looked at for changes.
const DIRECTORY: Duration = Duration::from_secs(2);

/// Runs a node until SIGTERM, SIGINT, the operator's `drain`, or, `while_stdin`, the end of standard input.
///
/// # Errors
/// Why it could not start.
pub fn serve(config: Config, while_stdin: bool) -> Result<(), PartFault> {
    let inherited = Inherited::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let served = runtime.block_on(run(config, handle, while_stdin, inherited));
    runtime.shutdown_timeout(Duration::from_secs(5));
    served
}

async fn run(config: Config, runtime: Handle, while_stdin: bool, mut inherited: Inherited) -> Result<(), PartFault> {
    let store_dir = config.data_dir.join("store");
    private_file::create_dir(&store_dir)?;
    // Opened once before anything listens: a second node on this store is refused here (attack 111).
    let (spool, generation) = {
        let store = Store::open(&store_dir)?;
        (store.spool(), store.generation())
    };
    let people = Arc::new(Live::new(checked(Directory::load(&config)?)?));
    let certificate = CertificateFiles { chain: config.tls.cert.clone(), key: config.tls.key.clone() };
    let mail_tls = Arc::new(Reloadable::load(certificate.clone(), tls::smtp_server)?);
    let link_tls = Arc::new(Reloadable::load(certificate.clone(), tls::link_server)?);
    let page_tls = Arc::new(Reloadable::load(certificate, tls::https_server)?);
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));

    let (inbox, messages) = mpsc::channel(INBOX);
    let bodies = Bodies::open(&store_dir)?;
    let host = NodeHost {
        hostname: config.hostname.clone(),
        inbox: inbox.clone(),
        people: Arc::clone(&people),
        spool: spool.clone(),
        bodies: bodies.clone(),
    };
    let dovecot = config.dovecot.auth.clone().map(dovecot::auth::Client::new);
    let logins = Arc::new(Logins::new(config.domains.clone(), Arc::clone(&people), dovecot));
    let sessions = Sessions::keeping(inbox.clone(), Arc::clone(&logins), spool.clone(), bodies.clone());
    let own_nk = KeyFiles::of(&config.data_dir).identity()?.nk();
    let links = Links::with(sessions.clone(), host, Arc::new(tls::link_client()?), Timing::default());
    let hands = Hands::new(world(&config)?, runtime.clone(), inbox.clone(), links.clone(), sessions.clone(), bodies)?;
    let owner = Owner::start(store_dir.clone(), remake(&config)?, messages, hands, Arc::clone(&metrics))?;
    let owner_runtime = runtime.clone();
    let owner = std::thread::Builder::new().name("owner".to_owned()).spawn(move || owner.run(&owner_runtime))?;

    let hosted = match config.hosted_devices {
        HostedDevices::Off => Hosted::off(),
        HostedDevices::Asked => Hosted::start(Around {
            dir: config.data_dir.join("hosted"),
            store: store_dir.clone(),
            people: Arc::clone(&people),
            spool: spool.clone(),
            inbox: inbox.clone(),
            sessions: sessions.clone(),
            nk: own_nk,
            runtime: runtime.clone(),
        })?,
    };

    let (drain, draining) = watch::channel(false);
    let door = Arc::new(MailDoor {
        hostname: config.hostname.clone(),
        domains: config.domains.clone(),
        people: Arc::clone(&people),
        logins: Arc::clone(&logins),
        spool,
        inbox: inbox.clone(),
        metrics: Arc::clone(&metrics),
        beside: config.beside.clone(),
        hosted: hosted.clone(),
    });
    let mail_source = Arc::clone(&mail_tls);
    let tls: TlsSource = Arc::new(move || mail_source.current());
    let smtp = SmtpServer::new(Arc::clone(&door), Arc::clone(&tls), draining.clone());
    let mut sockets = tokio::task::JoinSet::new();
    let mut listening: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let ports = [
        ("smtp", Port::Mx, &config.listen.smtp),
        ("submission", Port::Submission, &config.listen.submission),
        ("submissions", Port::Submissions, &config.listen.submissions),
    ];
    for (name, port, addresses) in ports {
        for listener in bind(&mut inherited, name, addresses).await? {
            listening.entry(name.to_owned()).or_default().push(listener.local_addr()?.to_string());
            sockets.spawn(Arc::clone(&smtp).serve(listener, port));
        }
    }
    let doors = [
        ("lmtp_in", &config.beside.lmtp_in, door::Beside::Front),
        ("lmtp_out", &config.beside.lmtp_out, door::Beside::Relay),
    ];
    for (name, place, beside) in doors {
        let Some(place) = place else { continue };
        let listener = listen(place).await?;
        listening.entry(name.to_owned()).or_default().push(listener.place()?.to_string());
        let server = SmtpServer::beside(Arc::clone(&door), Arc::clone(&tls), draining.clone());
        sockets.spawn(server.serve(listener, Port::Lmtp(beside)));
    }
    let milter_faults = Arc::new(AtomicU64::new(0));
    if let Some(place) = &config.beside.milter {
        let listener = listen(place).await?;
        listening.entry("milter".to_owned()).or_default().push(listener.place()?.to_string());
        let (people, inbox, faults) = (Arc::clone(&people), inbox.clone(), Arc::clone(&milter_faults));
        let (domains, hosted) = (config.domains.clone().into(), hosted.clone());
        sockets.spawn(Milter { people, domains, hosted, inbox, faults }.serve(listener, draining.clone()));
    }
    for listener in bind(&mut inherited, "link", &config.listen.link).await? {
        listening.entry("link".to_owned()).or_default().push(listener.local_addr()?.to_string());
        let source = Arc::clone(&link_tls);
        sockets.spawn(links.clone().serve(listener, Arc::new(move || source.current()), draining.clone()));
    }

    let mut pages = Vec::new();
    let page_source = Arc::clone(&page_tls);
    for (name, addresses, audience) in [
        ("http", &config.http.listen, Audience::Operator),
        ("http-public", &config.http.public, Audience::Public(Arc::new(move || page_source.current()))),
    ] {
        for listener in bind(&mut inherited, name, addresses).await? {
            listening.entry(name.to_owned()).or_default().push(listener.local_addr()?.to_string());
            pages.push((listener, audience.clone()));
        }
    }

    let going = Arc::new(Notify::new());
    let reload = reloader(&config, &people, [mail_tls, link_tls, page_tls]);
    let admin_socket = admin::Listener::bind(&config.admin_socket)?;
    let operator = Arc::new(Operator {
        inbox: inbox.clone(),
        dir: store_dir,
        fixed: admin::Status { store_generation: generation, ..fixed_status(&config, listening.clone())? },
        milter_faults,
        default_offers: config.offers,
        started: tokio::time::Instant::now(),
        users: Box::new({
            let people = Arc::clone(&people);
            move || people.current().users().count() as u64
        }),
        reload: Box::new({
            let reload = Arc::clone(&reload);
            move || reload()
        }),
        hosted: hosted.clone(),
        going: Arc::clone(&going),
        draining: AtomicBool::new(false),
    });
    let probe = Probe { operator: Arc::clone(&operator) };
    let browsers = Some(Browsers::new(config.http.origins.clone(), links.clone(), sessions.clone()));
    let shown = Arc::new(Pages { metrics, probe: probe.clone(), well_known: document(&config)?, browsers });
    for (listener, audience) in pages {
        tokio::spawn(http::serve(listener, Arc::clone(&shown), audience, draining.clone()));
    }
    let beside_dovecot = dovecot::serve(&config, &operator, &people)?;
    let admin_task = tokio::spawn(admin_socket.serve(operator));
    let watchdog = tokio::spawn(supervisor::watchdog(probe));
    tracing::info!(?listening, "node is up");
    supervisor::ready("up");

    if while_stdin {
        let going = Arc::clone(&going);
        // A thread of its own: reading standard input can't be cancelled, and must not hold up the end.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            // Whatever ends the input, an error too, ends the node.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            going.notify_one();
        })?;
    }
    wait_for_the_end(&config, &people, &reload, &going).await?;
    tracing::info!("node is going down");
    supervisor::stopping();
    // Sessions first: what they took must reach the owner before it stops.
    let _no_session_left = drain.send(true);
    let ended = tokio::time::timeout(END, async { while sockets.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("sessions were cut off");
    }
    admin_task.abort();
    watchdog.abort();
    drop(beside_dovecot);
    if tokio::time::timeout(END, hosted.end()).await.is_err() {
        tracing::warn!("hosted devices were cut off");
    }
    let (done, stopped) = oneshot::channel();
    if inbox.send(Message::Stop(done)).await.is_ok() {
        let _gone_already = tokio::time::timeout(END, stopped).await;
    }
    // What was last said on links and sessions goes out, or is cut off.
    let _cut_off = tokio::time::timeout(LAST_WORDS, async { tokio::join!(links.ended(), sessions.ended()) }).await;
    links.drop_all();
    sessions.drop_all();
    tokio::task::spawn_blocking(move || owner.join()).await?.map_err(|_| "the owner died")?;
    Ok(())
}

/// Reloads on SIGHUP and follows the directory, until SIGTERM, SIGINT or the operator ends it.
async fn wait_for_the_end(
    config: &Config,
    people: &Live,
    reload: &Arc<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>,
    going: &Notify,
) -> Result<(), PartFault> {
    let mut hup = signal(SignalKind::hangup())?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut directory = tokio::time::interval(DIRECTORY);
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            () = going.notified() => return Ok(()),
            _ = hup.recv() => {
                supervisor::reloading();
                match reload() {
                    Ok(waits) => tracing::info!(?waits, "reloaded; these keys wait for a restart"),
                    Err(why) => tracing::error!(why, "not reloaded; the old state stays in force"),
                }
                supervisor::ready("up");
            }
            _ = directory.tick() => match people.refresh(config) {
                Ok(true) => tracing::info!("users changed"),
                Ok(false) => {}
                Err(why) => tracing::error!(%why, "users not reloaded; the old ones stay in force"),
            },
        }
    }
}

type Reload = Arc<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

fn reloader(config: &Config, people: &Arc<Live>, certificates: [Arc<Reloadable>; 3]) -> Reload {
    let (config, people) = (Mutex::new(config.clone()), Arc::clone(people));
    Arc::new(move || {
        let mut config = config.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = config.reload().map_err(|why| why.to_string())?;
        for certificate in &certificates {
            certificate.reload().map_err(|why| why.to_string())?;
        }
        people.refresh(&reloaded.config).map_err(|why| why.to_string())?;
        *config = reloaded.config;
        Ok(reloaded.waits_for_restart.into_iter().map(str::to_owned).collect())
    })
}

fn checked(directory: Directory) -> Result<Directory, PartFault> {
    directory.check()?;
    Ok(directory)
}

async fn listen(place: &Place) -> Result<Listener, PartFault> {
    Ok(place.listen().await.map_err(|why| format!("{place}: {why}"))?)
}

/// Listens where the service manager did already, else where the configuration says.
async fn bind(inherited: &mut Inherited, name: &str, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, PartFault> {
    let mut listeners = Vec::new();
    if let Some(given) = inherited.named(name) {
        for listener in given {
            listeners.push(TcpListener::from_std(listener)?);
        }
        return Ok(listeners);
    }
    for address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|why| format!("{address}: {why}"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// How the machine is made from what the disk has, now and after a failed commit.
fn remake(config: &Config) -> Result<crate::owner::Remake, PartFault> {
    let keys = KeyFiles::of(&config.data_dir);
    // Read once here, so that a bad key is a refusal to start; and again at each restore, so that no copy lies about.
    keys.identity()?;
    let (domains, offers) = (config.domains.iter().cloned().collect(), config.offers);
    let hint = config.advertise.clone();
    let domains: std::collections::BTreeSet<_> = domains;
    Ok(Box::new(move |generation, records: Vec<Record>| {
        let identity = keys.identity().map_err(|_| unreadable_key())?;
        let ours = Ours { identity, domains: domains.clone(), hint: hint.clone(), offers, generation };
        Server::restore(ours, records)
    }))
}

fn unreadable_key() -> postline_core::fault::RestoreError {
    postline_core::fault::RestoreError::Damaged { key: postline_core::store::Key::Node, what: "a readable node key" }
}

/// Who answers questions about names.
pub(crate) fn resolver(config: &Config) -> Result<Resolver, PartFault> {
    Ok(match &config.zone_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
            Resolver::Zone(Zone::parse(&text).map_err(|why| format!("{}: {why}", file.display()))?)
        }
        None if config.name_servers.is_empty() => Resolver::system()?,
        None => Resolver::at(&config.name_servers)?,
    })
}

fn world(config: &Config) -> Result<World, PartFault> {
    let resolver = resolver(config)?;
    let resolver = Arc::new(resolver.with_dnssec(config.discovery.dnssec, config.discovery.trust_anchor.as_deref())?);
    let mut signers = BTreeMap::new();
    // Beside a mail server that sends, that signs too.
    for domain in config.domains.iter().filter(|_| config.beside.reinject.is_none()) {
        signers.insert(domain.clone(), Signer::load(&config.dkim.dir, domain, &config.dkim.selector)?);
    }
    let first = config.domains.first().ok_or("no domain")?;
    let maildirs = Maildirs::open(&config.maildir_root)?;
    if let Err(why) = maildirs.sweep() {
        tracing::warn!(%why, "debris in maildirs stays for now");
    }
    let discovery = Discovery::new(Arc::clone(&resolver), documents(config, &resolver)?, config.allow_private.clone());
    Ok(World {
        dir: config.data_dir.clone(),
        hostname: config.hostname.clone(),
        postmaster: doors::postmaster(first),
        maildirs,
        resolver,
        discovery,
        allow: config.allow_private.clone(),
        signers,
        outward: outward(config)?,
        deliver: config.beside.deliver.clone(),
    })
}

/// What our domains say of their node, and its type.
fn document(config: &Config) -> Result<(&'static str, Vec<u8>), PartFault> {
    let identity = KeyFiles::of(&config.data_dir).identity()?;
    Ok((MEDIA_TYPE, well_known(&identity, config)))
}

/// Who fetches well-known documents. A system without certificate authorities is no reason not to run: then they count as
/// silent, and the operator hears of it.
fn documents(config: &Config, resolver: &Arc<Resolver>) -> Result<Option<Documents>, PartFault> {
    let wish = &config.discovery;
    match tls::https_client(wish.roots.as_deref()) {
        Ok(tls) => {
            Ok(Some(Documents::new(Arc::clone(resolver), Arc::new(tls), config.allow_private.clone(), wish.https_port)))
        }
        Err(why @ TlsFault::NoRoots(_)) => {
            tracing::warn!(%why, "well-known documents of other domains count as silent");
            Ok(None)
        }
        Err(why) => Err(why.into()),
    }
}

fn outward(config: &Config) -> Result<Outward, PartFault> {
    if let Some(place) = &config.beside.reinject {
        return Ok(Outward::Reinject(place.clone()));
    }
    let Some(smarthost) = &config.smarthost else {
        return Ok(Outward::Mx(Security::Opportunistic(Arc::new(tls::smtp_client_of_any()?))));
    };
    let login = match &smarthost.login {
        Some(login) => {
            let password = private_file::first_line(&login.password_file)?;
            Some(Login { user: login.user.clone(), password: password.to_string() })
        }
        None => None,
    };
    let security = match smarthost.tls {
        SmarthostTls::Starttls => Security::Verified(Arc::new(tls::smtp_client_verifying()?)),
        SmarthostTls::Implicit => Security::Implicit(Arc::new(tls::smtp_client_verifying()?)),
        SmarthostTls::None => Security::Opportunistic(Arc::new(tls::smtp_client_of_any()?)),
    };
    Ok(Outward::Smarthost { host: smarthost.host.clone(), port: smarthost.port, login, security })
}

fn fixed_status(config: &Config, listen: BTreeMap<String, Vec<String>>) -> Result<admin::Status, PartFault> {
    let keys = KeyFiles::of(&config.data_dir);
    let mut warnings = Vec::new();
    if is_self_signed(Path::new(&config.tls.cert)) {
        warnings.push("the certificate is self-signed: mail programs will warn".to_owned());
    }
    if keys.next_seed.exists() {
        warnings.push(format!("move {} to a safe place: it is the node's next key", keys.next_seed.display()));
    }
    for warning in &warnings {
        tracing::warn!(warning, "look at this");
    }
    Ok(admin::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node_key: keys.identity()?.nk().to_string(),
        domains: config.domains.iter().map(ToString::to_string).collect(),
        listen,
        warnings,
        ..admin::Status::default()
    })
}
