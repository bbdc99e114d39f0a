//! What Dovecot's users see of the node, and do in it: the same that the operator may, each for their own addresses.
//!
//! ```text
//!   Question ──▶ whose? ──▶ Operator (the one that the command line asks too) ──▶ Answer
//!                  └─ a report from a mailbox ──▶ Reports: taken at once, looked at later
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use postline_core::id::{Address, Domain, Pair};
use postline_core::limits;
use postline_core::machine::trust::TrustState;
use postline_core::server::Command;
use postline_core::time::Millis;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::event;
use super::key::Key;
use super::report::{Report, Reports};
use super::server::DictHost;
use super::session::{Answer, Change, Question};
use super::who::User;
use crate::admin::TrustRow;
use crate::directory::Live;
use crate::operator::Operator;
use crate::store::About;
use crate::words;

/// The node behind the dict.
pub struct Host {
    operator: Arc<Operator>,
    people: Arc<Live>,
    domains: Vec<Domain>,
    reports: Reports,
    reads: Semaphore,
}

/// A change, read and found good.
enum Deed {
    Block(Address),
    Unblock(Address),
    Offers(bool),
    Report(Report),
}

impl Host {
    /// The node behind `operator`, for the people of `domains`; what mailboxes report goes to `reports`.
    #[must_use]
    pub fn new(operator: Arc<Operator>, people: Arc<Live>, domains: Vec<Domain>, reports: Reports) -> Self {
        Self { operator, people, domains, reports, reads: Semaphore::new(limits::DICT_READS) }
    }

    async fn look(&self, user: &User, key: Key) -> Result<Answer, String> {
        Ok(match key {
            Key::Version => Answer::Found(env!("CARGO_PKG_VERSION").to_owned()),
            // Somebody without pairs has a list all the same: an empty one.
            Key::Trust => {
                let (pairs, more) = self.pairs(user, None, limits::DICT_SCAN).await?;
                Answer::Found(trust_lines(&pairs, more))
            }
            Key::TrustOf(theirs) => match self.pairs(user, Some(theirs), limits::DICT_ADDRESSES).await? {
                (pairs, _) if pairs.is_empty() => Answer::Missing,
                (pairs, more) => Answer::Found(trust_lines(&pairs, more)),
            },
            Key::Offers => Answer::Found(self.offers(user).await?),
            Key::Marks(message_id) => self.marks(user, message_id).await?,
            Key::Event(_) => Answer::Missing,
        })
    }

    /// The keys that a user has. Marks are left out: there are as many as mails.
    async fn list(&self, user: &User, most: usize) -> Result<Answer, String> {
        let (pairs, _) = self.pairs(user, None, most).await?;
        let mut theirs: Vec<String> = pairs.iter().map(|row| row.theirs.to_ascii_lowercase()).collect();
        theirs.sort_unstable();
        theirs.dedup();
        let keys = [Key::Trust, Key::Offers, Key::Version].into_iter().chain(theirs.into_iter().map(Key::TrustOf));
        Ok(Answer::Keys(keys.take(most).collect()))
    }

    /// A user's pairs; with one correspondent, where one is named, whatever the case.
    async fn pairs(&self, user: &User, theirs: Option<String>, most: usize) -> Result<(Vec<TrustRow>, bool), String> {
        let (people, domains, owner) = (self.people.current(), self.domains.clone(), user.clone());
        let starts = owner.starts(&people, &domains);
        let of = move |pair: &Pair| {
            theirs.as_ref().is_none_or(|theirs| pair.theirs.to_string().eq_ignore_ascii_case(theirs))
                && owner.owns(&people, &domains, &pair.ours)
        };
        let _turn = self.reads.acquire().await.map_err(|closed| closed.to_string())?;
        self.operator.pairs(starts, of, most, limits::DICT_SCAN).await.map_err(|refusal| refusal.message)
    }

    /// What each of the user's addresses has chosen, or the node has for it.
    async fn offers(&self, user: &User) -> Result<String, String> {
        let addresses: Vec<Address> = user.addresses(&self.people.current(), &self.domains).into_iter().collect();
        let _turn = self.reads.acquire().await.map_err(|closed| closed.to_string())?;
        let chosen = self.operator.chosen_offers(addresses).await.map_err(|refusal| refusal.message)?;
        Ok(chosen.iter().map(|(address, on)| format!("{address} {}\n", if *on { "on" } else { "off" })).collect())
    }

    /// How far a mail got that the user wrote. Other people's mails are as absent as those that never were.
    async fn marks(&self, user: &User, message_id: String) -> Result<Answer, String> {
        let _turn = self.reads.acquire().await.map_err(|closed| closed.to_string())?;
        let told = self.operator.told(About::MessageId(message_id)).await.map_err(|refusal| refusal.message)?;
        let told: Vec<(Millis, Value)> =
            told.iter().map(|line| (line.at, serde_json::from_str(&line.line).unwrap_or_default())).collect();
        let people = self.people.current();
        let wrote = |line: &&Value| {
            text(line, "event") == "arrived" && user.is_login(&people, &self.domains, text(line, "login"))
        };
        let theirs: Vec<&str> =
            told.iter().map(|(_, line)| line).filter(wrote).map(|line| text(line, "mail")).collect();
        if theirs.is_empty() {
            return Ok(Answer::Missing);
        }
        let marks =
            told.iter().filter(|(_, line)| text(line, "event") == "marked" && theirs.contains(&text(line, "mail")));
        let mut lines = String::new();
        for (at, mark) in marks {
            let rcpts = mark.get("rcpts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for rcpt in rcpts.iter().filter_map(Value::as_str) {
                let line = format!("{rcpt} {} {} {}\n", text(mark, "mark"), words::utc(at.0), text(mark, "carrier"));
                if lines.len() + line.len() > limits::DICT_ANSWER_BYTES {
                    lines.push_str(MORE);
                    return Ok(Answer::Found(lines));
                }
                lines.push_str(&line);
            }
        }
        Ok(Answer::Found(lines))
    }

    /// All is read before anything is done.
    async fn change(&self, name: &str, user: &User, changes: Vec<Change>) -> Result<Answer, String> {
        let deeds: Vec<Deed> =
            changes.into_iter().map(|change| self.deed(name, user, change)).collect::<Result<_, _>>()?;
        let blocks = deeds.iter().filter(|deed| matches!(deed, Deed::Block(_))).count();
        if blocks > 0 && self.blocked(user).await? + blocks > limits::DICT_BLOCKED {
            return Err("too many are blocked already".to_owned());
        }
        for deed in deeds {
            match deed {
                Deed::Report(report) => self.reports.offer(report).map_err(|full| full.to_string())?,
                Deed::Block(theirs) => self.command(user, &theirs, Command::Block).await?,
                Deed::Unblock(theirs) => self.command(user, &theirs, Command::Unblock).await?,
                Deed::Offers(on) => {
                    for ours in user.addresses(&self.people.current(), &self.domains) {
                        self.operator.command(Command::Offers(ours, on)).await.map_err(|refusal| refusal.message)?;
                    }
                }
            }
        }
        Ok(Answer::Done)
    }

    fn deed(&self, name: &str, user: &User, change: Change) -> Result<Deed, String> {
        let address = |text: &str| Address::parse(text).map_err(|why| why.to_string());
        match change {
            Change::Set(Key::TrustOf(theirs), word) => match word.trim() {
                "block" => address(&theirs).map(Deed::Block),
                "unblock" => address(&theirs).map(Deed::Unblock),
                _ => Err("want block or unblock".to_owned()),
            },
            Change::Unset(Key::TrustOf(theirs)) => address(&theirs).map(Deed::Unblock),
            Change::Set(Key::Offers, word) => match word.trim() {
                "on" => Ok(Deed::Offers(true)),
                "off" => Ok(Deed::Offers(false)),
                _ => Err("want on or off".to_owned()),
            },
            Change::Set(Key::Event(mailbox), report) => {
                let happened = event::parse(&report).map_err(|fault| fault.to_string())?;
                Ok(Deed::Report(Report { name: name.to_owned(), user: user.clone(), mailbox, happened }))
            }
            Change::Set(..) | Change::Unset(_) => Err("this annotation can only be read".to_owned()),
        }
    }

    /// How many of a user's pairs are blocked. A block lasts, so nobody may fill the store with them.
    async fn blocked(&self, user: &User) -> Result<usize, String> {
        let (pairs, _) = self.pairs(user, None, limits::DICT_SCAN).await?;
        Ok(pairs.iter().filter(|row| row.state == words::trust(TrustState::Revoked)).count())
    }

    /// Blocks or unblocks a correspondent for all of the user's addresses: those that know them, and the plain ones.
    async fn command(&self, user: &User, theirs: &Address, command: fn(Pair) -> Command) -> Result<(), String> {
        // All of them: who writes to many of a user's tags must not have the one with the line passed over.
        let (mut known, more) = self.pairs(user, Some(theirs.to_string()), limits::DICT_SCAN).await?;
        // What was done by an earlier try, and strangers' offers, can wait for the rest.
        known.sort_by_key(|row| {
            (row.state == words::trust(TrustState::Revoked), row.state == words::trust(TrustState::Held))
        });
        let known = known.iter().filter_map(|row| {
            Some(Pair { ours: Address::parse(&row.ours).ok()?, theirs: Address::parse(&row.theirs).ok()? })
        });
        let mut pairs: Vec<Pair> = known.collect();
        for ours in user.addresses(&self.people.current(), &self.domains) {
            if !pairs.iter().any(|pair| pair.ours == ours) {
                pairs.push(Pair { ours, theirs: theirs.clone() });
            }
        }
        for pair in pairs {
            self.operator.command(command(pair)).await.map_err(|refusal| refusal.message)?;
        }
        if more { Err("not all of your addresses could be looked at".to_owned()) } else { Ok(()) }
    }
}

impl DictHost for Host {
    async fn answer(&self, question: Question) -> Answer {
        let name = match &question {
            Question::Look { user, .. } | Question::List { user, .. } | Question::Change { user, .. } => user.clone(),
        };
        let user = User::parse(&name, &self.domains);
        let answered = match (question, user) {
            (Question::Look { key, .. }, Some(user)) => self.look(&user, key).await,
            (Question::List { most, .. }, Some(user)) => self.list(&user, most).await,
            (Question::Change { changes, .. }, Some(user)) => self.change(&name, &user, changes).await,
            // Dovecot may serve domains that aren't ours.
            (Question::Look { .. }, None) => Ok(Answer::Missing),
            (Question::List { .. }, None) => Ok(Answer::Keys(Vec::new())),
            (Question::Change { .. }, None) => Err("not a user of this node's domains".to_owned()),
        };
        answered.unwrap_or_else(Answer::Refused)
    }
}

/// The last line of a value that would be too long.
const MORE: &str = "...\n";

/// One line a pair: their address, the state, until when, our address.
fn trust_lines(pairs: &[TrustRow], more: bool) -> String {
    let (mut lines, mut more) = (String::new(), more);
    for row in pairs {
        let until = row.until_ms.map_or_else(|| "-".to_owned(), words::utc);
        let before = lines.len();
        // Writing to a string can't fail.
        let _ = writeln!(lines, "{} {} {until} {}", row.theirs, row.state, row.ours);
        if lines.len() > limits::DICT_ANSWER_BYTES {
            lines.truncate(before);
            more = true;
            break;
        }
    }
    if more {
        lines.push_str(MORE);
    }
    lines
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}
