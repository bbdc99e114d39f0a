//! What the operator may see and do: the admin socket's requests, answered from the owner and the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use postline_core::id::{Address, Domain, Lane, MailId, Pair};
use postline_core::machine::queue::{Phase, Shown};
use postline_core::machine::trust::{Trust, TrustState};
use postline_core::server::io::KeysState;
use postline_core::server::{Command, HERE, read_keys, read_offers};
use postline_core::store::{Key, Record};
use tokio::sync::{Notify, oneshot};

use crate::admin::{AdminHost, Answer, QueueRow, ROWS, Refusal, RefusalCode, Request, Status, TraceRow, TrustRow};
use crate::doors::{self, Gone};
use crate::hosted::{Hosted, Undone};
use crate::owner::{Inbox, Message};
use crate::store::{About, Reader, StoreError, TraceLine};
use crate::words;

/// How many records are read at a time.
const PAGE: usize = 1_000;

/// The operator's view of the node.
pub struct Operator {
    /// The owner's inbox.
    pub inbox: Inbox,
    /// The store's directory.
    pub dir: PathBuf,
    /// What never changes while the node runs: version, key, domains, listeners.
    pub fixed: Status,
    /// How many milter clients spoke what is no milter session.
    pub milter_faults: Arc<AtomicU64>,
    /// Whether users' mails take offers along where nobody chose.
    pub default_offers: bool,
    /// When it started.
    pub started: tokio::time::Instant,
    /// How many users there are, now.
    pub users: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Reads users, certificates and configuration again: names what waits for a restart.
    pub reload: Box<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>,
    /// The devices that the node runs.
    pub hosted: Hosted,
    /// Told when the node is to go down.
    pub going: Arc<Notify>,
    /// Whether it is.
    pub draining: AtomicBool,
}

impl AdminHost for Operator {
    async fn answer(&self, request: Request) -> Answer {
        let answered = match request {
            Request::Status {} => self.status().await,
            Request::TrustList { prefix, limit } => self.trust_list(prefix, limit).await,
            Request::TrustShow(pair) => self.trust_show(pair.into()).await,
            Request::TrustBlock(pair) => self.order(Command::Block(pair.into())).await,
            Request::TrustUnblock(pair) => self.order(Command::Unblock(pair.into())).await,
            Request::TrustAccept { ours, theirs, node_key } => self.trust_accept(Pair { ours, theirs }, node_key).await,
            Request::TrustBlockDomain { domain } => self.block_domain(domain).await,
            Request::TrustUnblockDomain { domain } => self.order(Command::UnblockDomain(domain)).await,
            Request::TrustBlockedDomains {} => self.blocked_domains().await,
            Request::UserOffers { address, on } => self.offers(address, on).await,
            Request::QueueList { limit } => self.queue_list(limit).await,
            Request::QueueRetry { lane } => self.order(Command::Retry(lane)).await,
            Request::DeviceHost { address } => hosting(self.hosted.host(address).await),
            Request::DeviceApprove { address, code } => hosting(self.hosted.approve(address, code.0).await),
            Request::Trace { message_id } => self.trace(message_id).await,
            Request::ClockAccept {} => match self.inbox.send(Message::AcceptClock).await {
                Ok(()) => Ok(Answer::Done {}),
                Err(_) => Err(Gone.into()),
            },
            Request::Reload {} => (self.reload)()
                .map(|waits_for_restart| Answer::Reloaded { waits_for_restart })
                .map_err(|why| Refusal::new(RefusalCode::Failed, why)),
            Request::Drain {} => {
                self.draining.store(true, Ordering::Relaxed);
                self.going.notify_one();
                Ok(Answer::Done {})
            }
        };
        answered.unwrap_or_else(Answer::Refused)
    }
}

fn hosting(done: Result<(), Undone>) -> Result<Answer, Refusal> {
    done.map(|()| Answer::Done {}).map_err(|why| {
        let code = match why {
            Undone::NotHosted(_) | Undone::NoSuchUser(_) | Undone::WrongCode => RefusalCode::NotFound,
            Undone::Late => RefusalCode::Busy,
            Undone::Off | Undone::HasDevice(_) | Undone::TooMany(_) | Undone::Others | Undone::Declined(_) => {
                RefusalCode::Failed
            }
        };
        Refusal::new(code, why.to_string())
    })
}

impl From<Gone> for Refusal {
    fn from(gone: Gone) -> Self {
        Self::new(RefusalCode::Busy, gone.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(RefusalCode::Failed, error.to_string())
    }
}

impl Operator {
    /// Whether the node is going down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Has something done, and waits until it is durable.
    ///
    /// # Errors
    /// Where the owner has stopped, or its disk failed meanwhile.
    pub async fn command(&self, command: Command) -> Result<(), Refusal> {
        Ok(doors::command(&self.inbox, command).await?)
    }

    async fn order(&self, command: Command) -> Result<Answer, Refusal> {
        self.command(command).await?;
        Ok(Answer::Done {})
    }

    /// Takes the key that is proposed for a pair, and no other.
    async fn trust_accept(&self, pair: Pair, named: Option<String>) -> Result<Answer, Refusal> {
        let key = Key::Trust(pair.clone());
        let record = self.read(move |reader| reader.get(&key)).await?;
        let trust = record.and_then(|record| Trust::restore(pair.clone(), &record).ok());
        let Some(proposed) = trust.and_then(|trust| trust.candidate()) else {
            let why = "no key waits for your word: after the line was suspended, it takes a mail and its reply";
            return Err(Refusal::new(RefusalCode::NotFound, why));
        };
        if named.is_some_and(|named| named != proposed.to_string()) {
            let why = format!("the key that waits for your word is {proposed}");
            return Err(Refusal::new(RefusalCode::NotFound, why));
        }
        self.order(Command::Readmit(pair, proposed)).await
    }

    fn serves(&self, domain: &Domain) -> bool {
        self.fixed.domains.contains(&domain.to_string())
    }

    async fn block_domain(&self, domain: Domain) -> Result<Answer, Refusal> {
        if self.serves(&domain) {
            let why = format!("{domain} is a domain of this node");
            return Err(Refusal::new(RefusalCode::Malformed, why));
        }
        let (max, wanted) = (postline_core::limits::BLOCKED_DOMAINS, domain.clone());
        let full = doors::look(&self.inbox, move |look| {
            let blocked = look.server.blocked_domains();
            blocked.filter(|other| **other != wanted).count() >= max
        });
        if full.await? {
            return Err(Refusal::new(RefusalCode::Failed, format!("{max} domains are blocked, and no more can be")));
        }
        self.order(Command::BlockDomain(domain)).await
    }

    async fn blocked_domains(&self) -> Result<Answer, Refusal> {
        let domains =
            doors::look(&self.inbox, |look| look.server.blocked_domains().map(ToString::to_string).collect::<Vec<_>>());
        Ok(Answer::BlockedDomains { domains: domains.await? })
    }

    /// Whether mails of these addresses take offers along: as each has chosen, else as the node does.
    ///
    /// # Errors
    /// The store's.
    pub async fn chosen_offers(&self, addresses: Vec<Address>) -> Result<Vec<(Address, bool)>, Refusal> {
        let otherwise = self.default_offers;
        self.read(move |reader| {
            let mut chosen = Vec::new();
            for address in addresses {
                let record = reader.get(&Key::Offers(address.clone()))?;
                // A record that can't be read is the owner's to report; here it is no choice.
                let on = record.and_then(|record| read_offers(&record).ok()).unwrap_or(otherwise);
                chosen.push((address, on));
            }
            Ok(chosen)
        })
        .await
    }

    async fn offers(&self, address: Address, on: bool) -> Result<Answer, Refusal> {
        if !self.serves(address.domain()) {
            let why = format!("{} is no domain of this node", address.domain());
            return Err(Refusal::new(RefusalCode::NotFound, why));
        }
        self.order(Command::Offers(address, on)).await
    }

    async fn status(&self) -> Result<Answer, Refusal> {
        let seen = doors::look(&self.inbox, |look| {
            let mut queued: BTreeMap<String, u64> = BTreeMap::new();
            for (lane, queue) in look.server.lanes() {
                let kind = match lane {
                    Lane::Mailbox(_) => "mailbox",
                    Lane::Domain(_) => "domain",
                    Lane::Node(_) => "node",
                };
                *queued.entry(kind.to_owned()).or_default() += queue.len() as u64;
            }
            let links: Vec<String> = look.server.links_up().map(|nk| nk.to_string()).collect();
            (queued, links, look.clock.jump().is_some(), look.commits, look.connections)
        });
        let (queued, links, clock_held, commits, connections) = seen.await?;
        let mut status = self.fixed.clone();
        status.uptime_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.draining = self.draining.load(Ordering::Relaxed);
        status.milter_faults = self.milter_faults.load(Ordering::Relaxed);
        status.users = (self.users)();
        (status.queued, status.links, status.clock_held) = (queued, links, clock_held);
        (status.commits, status.connections) = (commits, connections);
        if clock_held {
            status.warnings.push("the clock jumped; `postline clock accept` if it is right".to_owned());
        }
        Ok(Answer::Status(Box::new(status)))
    }

    /// Reads the store on a thread where waiting for the disk holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let dir = self.dir.clone();
        let done = tokio::task::spawn_blocking(move || read(&Reader::open(&dir)?)).await;
        done.map_err(|_| Refusal::new(RefusalCode::Failed, "reading the store failed"))?.map_err(Refusal::from)
    }

    async fn trust_list(&self, prefix: String, limit: u32) -> Result<Answer, Refusal> {
        let of = move |pair: &Pair| {
            prefix.is_empty()
                || pair.ours.to_string().starts_with(&prefix)
                || pair.theirs.to_string().starts_with(&prefix)
        };
        let (pairs, more) = self.pairs(vec![String::new()], of, limit.min(ROWS) as usize, usize::MAX).await?;
        Ok(Answer::TrustList { pairs, more })
    }

    /// The pairs that `of` lets through, in the order of our addresses, of those whose address here begins with one of
    /// `starts`; at most `limit`, of at most `looks` that are looked at; and whether there are more.
    ///
    /// # Errors
    /// The store's.
    pub async fn pairs(
        &self,
        starts: Vec<String>,
        of: impl Fn(&Pair) -> bool + Send + 'static,
        limit: usize,
        looks: usize,
    ) -> Result<(Vec<TrustRow>, bool), Refusal> {
        self.read(move |reader| {
            let (mut rows, mut looked) = (Vec::new(), 0);
            for start in starts {
                let (prefix, mut after) = (format!("trust/{start}"), String::new());
                loop {
                    let page = reader.scan(&prefix, &after, PAGE)?.records;
                    let Some(last) = page.last() else { break };
                    after = last.key.to_string();
                    looked += page.len();
                    for record in &page {
                        if !matches!(&record.key, Key::Trust(pair) if of(pair)) {
                            continue;
                        }
                        let Some(row) = trust_row(reader, record)? else { continue };
                        if rows.len() == limit {
                            return Ok((rows, true));
                        }
                        rows.push(row);
                    }
                    if looked >= looks {
                        return Ok((rows, true));
                    }
                }
            }
            Ok((rows, false))
        })
        .await
    }

    async fn trust_show(&self, pair: Pair) -> Result<Answer, Refusal> {
        let key = Key::Trust(pair.clone());
        let row = move |reader: &Reader| reader.get(&key)?.map_or(Ok(None), |record| trust_row(reader, &record));
        let found = self.read(row).await?;
        let stranger = TrustRow {
            ours: pair.ours.to_string(),
            theirs: pair.theirs.to_string(),
            state: words::trust(TrustState::Stranger).to_owned(),
            ..TrustRow::default()
        };
        Ok(Answer::TrustShow(found.unwrap_or(stranger)))
    }

    async fn queue_list(&self, limit: u32) -> Result<Answer, Refusal> {
        let limit = limit.min(ROWS) as usize;
        let rows = doors::look(&self.inbox, move |look| {
            let waiting = look.server.lanes().flat_map(|(lane, queue)| queue.entries().map(move |entry| (lane, entry)));
            let row = |(lane, shown): (&Lane, Shown<'_>)| QueueRow {
                mail: shown.mail.to_string(),
                lane: words::lane(lane),
                message_id: shown.entry.letter.message_id.clone(),
                rcpts: shown.entry.rcpts.iter().map(ToString::to_string).collect(),
                since_ms: shown.entry.arrived.0,
                attempts: shown.attempts,
                next_ms: (shown.phase == Phase::Waiting).then_some(shown.due.0),
                why: shown.why.map(str::to_owned),
            };
            waiting.map(row).take(limit + 1).collect::<Vec<_>>()
        });
        let mut entries = rows.await?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(Answer::QueueList { entries, more })
    }

    /// What is remembered about mails, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn told(&self, about: About) -> Result<Vec<TraceLine>, Refusal> {
        self.read(move |reader| reader.trace(&about)).await
    }

    async fn trace(&self, message_id: String) -> Result<Answer, Refusal> {
        // Lines wait for records to ride with, and a mail that is passed on may have none.
        let (done, written) = oneshot::channel();
        self.inbox.send(Message::Trace(Vec::new(), done)).await.map_err(|_| Gone)?;
        // Where the disk takes none, what it has is shown.
        let _unwritten = written.await;
        let about = match MailId::parse(&message_id) {
            Ok(mail) => About::Mail(mail),
            Err(_) => About::MessageId(message_id),
        };
        let lines = self.told(about).await?;
        let row = |line: TraceLine| {
            let line_json = serde_json::from_str(&line.line).ok()?;
            Some(TraceRow { at_ms: line.at.0, line: line_json })
        };
        Ok(Answer::Trace { events: lines.into_iter().filter_map(row).collect() })
    }
}

/// A pair's row. A record that can't be read is the owner's to report; here it is none.
fn trust_row(reader: &Reader, record: &Record) -> Result<Option<TrustRow>, StoreError> {
    let Key::Trust(pair) = &record.key else { return Ok(None) };
    let Ok(trust) = Trust::restore(pair.clone(), record) else { return Ok(None) };
    let keys = match trust.line() {
        Some(_) => reader.get(&Key::Proofs(pair.clone()))?.map_or(Ok(KeysState::Unproven), |record| read_keys(&record)),
        None => Ok(KeysState::Unproven),
    };
    Ok(Some(TrustRow {
        ours: pair.ours.to_string(),
        theirs: pair.theirs.to_string(),
        state: words::trust(trust.state()).to_owned(),
        keys: trust.line().and(keys.ok()).map(|keys| words::keys(keys).to_owned()),
        node_key: trust.peer_nk().or(trust.known()).filter(|nk| *nk != HERE).map(|nk| nk.to_string()),
        proposed_key: trust.candidate().map(|nk| nk.to_string()),
        until_ms: record.expires.map(|at| at.0),
        offers: None,
        held: None,
    }))
}
