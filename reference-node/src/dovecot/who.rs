//! Who a user of Dovecot's is here: which addresses are theirs.
//!
//! Dovecot knows users as `one` or as `one@a.example`. The first has that local part in every domain of ours; the second
//! in theirs only. Both have what our own directory gives the user of that name there: aliases, postmaster@. What the
//! directory gives to somebody else is never theirs.

use std::collections::BTreeSet;

use postline_core::id::{Address, Domain, Mailbox};
use postline_core::limits;

use crate::directory::{Directory, mailbox_name};

/// How many letters of an address lead to its trust records: enough to pass over most of other people's.
const START_LETTERS: usize = 3;

/// A user, as Dovecot names them, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    /// The only domain in which they are; `None`: in each of ours.
    domain: Option<Domain>,
}

impl User {
    /// Reads a user's name; `None` for what names nobody in a domain of ours, or has characters that no mailbox of ours
    /// may have.
    #[must_use]
    pub fn parse(text: &str, domains: &[Domain]) -> Option<Self> {
        let (name, domain) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, domain)) => (name, Some(Domain::parse(domain).ok()?)),
        };
        // Mailboxes and directories are called so.
        let user = Self { name: mailbox_name(&name.to_ascii_lowercase()).ok()?.0, domain };
        let named = user.domains(domains).next().is_some_and(|domain| user.at(domain).is_some());
        (named && user.login().0.len() <= limits::MAILBOX_NAME_BYTES).then_some(user)
    }

    /// Under which name their mail goes in and out of the node.
    #[must_use]
    pub fn login(&self) -> Mailbox {
        Mailbox(match &self.domain {
            None => self.name.clone(),
            Some(domain) => format!("{}@{domain}", self.name),
        })
    }

    /// Whether an address is theirs, whatever the case of its local part, with or without a tag.
    #[must_use]
    pub fn owns(&self, people: &Directory, domains: &[Domain], address: &Address) -> bool {
        if !self.domains(domains).any(|domain| domain == address.domain()) {
            return false;
        }
        let local = address.local().to_ascii_lowercase();
        let tagless = local.split_once('+').map_or(local.as_str(), |(base, _tag)| base);
        match people.owner(address) {
            Some(owner) => owner.0 == self.name,
            None => local == self.name || tagless == self.name,
        }
    }

    /// Their addresses without tags, at most [`DICT_ADDRESSES`](limits::DICT_ADDRESSES).
    #[must_use]
    pub fn addresses(&self, people: &Directory, domains: &[Domain]) -> Vec<Address> {
        let plain = self.domains(domains).filter_map(|domain| self.at(domain));
        let aliases = people.aliases().map(|(alias, _)| alias.clone());
        let own = plain.chain(aliases).filter(|address| self.owns(people, domains, address));
        own.take(limits::DICT_ADDRESSES).collect()
    }

    /// How the addresses begin that may be theirs, in the text of keys: all spellings of the first letters.
    #[must_use]
    pub fn starts(&self, people: &Directory, domains: &[Domain]) -> Vec<String> {
        let mut starts = BTreeSet::new();
        for address in self.addresses(people, domains) {
            let letters = address.local().chars().take_while(char::is_ascii_alphanumeric).take(START_LETTERS);
            let spelled = letters.fold(vec![String::new()], |starts, letter| {
                let both = BTreeSet::from([letter.to_ascii_lowercase(), letter.to_ascii_uppercase()]);
                let longer =
                    |start: &String| both.iter().map(move |letter| format!("{start}{letter}")).collect::<Vec<_>>();
                starts.iter().flat_map(longer).collect()
            });
            starts.extend(spelled);
        }
        // Of two starts, one of which begins with the other, the shorter finds all; it comes first.
        starts.into_iter().fold(Vec::<String>::new(), |mut kept, start| {
            if !kept.last().is_some_and(|shorter| start.starts_with(shorter.as_str())) {
                kept.push(start);
            }
            kept
        })
    }

    /// Whether a mail that this login brought is theirs: an address of theirs, or their name in our own directory, which
    /// is one person in all domains.
    #[must_use]
    pub fn is_login(&self, people: &Directory, domains: &[Domain], login: &str) -> bool {
        if login.contains('@') {
            return Address::parse(login).is_ok_and(|address| self.owns(people, domains, &address));
        }
        login == self.name && (self.domain.is_none() || domains.len() == 1)
    }

    fn at(&self, domain: &Domain) -> Option<Address> {
        Address::parse(&format!("{}@{domain}", self.name)).ok()
    }

    fn domains<'a>(&'a self, domains: &'a [Domain]) -> impl Iterator<Item = &'a Domain> {
        domains.iter().filter(|domain| self.domain.as_ref().is_none_or(|only| only == *domain))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn domains() -> Vec<Domain> {
        ["a.example", "b.example"].map(|domain| Domain::parse(domain).unwrap()).to_vec()
    }

    /// A directory with alice in both domains, and sales@a.example as hers.
    fn people(dir: &Path) -> Directory {
        let text = "data_dir = \".\"\nhostname = \"mail.a.example\"\ndomains = [\"a.example\", \"b.example\"]\n\
                    postmaster = \"root\"\n[passwords]\nmemory_kib = 64\npasses = 1\n";
        let mut people = Directory::load(&Config::parse(&dir.join("postline.toml"), text).unwrap()).unwrap();
        people.add("alice", "long enough").unwrap();
        people.add_alias("sales@a.example", "alice").unwrap();
        people
    }

    fn owns(name: &str, address: &str) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let user = User::parse(name, &domains()).unwrap();
        user.owns(&people(dir.path()), &domains(), &Address::parse(address).unwrap())
    }

    #[test]
    fn a_user_of_every_domain_owns_their_name_in_each() {
        for theirs in ["bob@a.example", "BOB@b.example", "bob+tag@a.example"] {
            assert!(owns("bob", theirs), "{theirs}");
        }
        for other in ["bob@c.example", "rob@a.example", "alice@a.example", "bo@a.example", "bobby@a.example"] {
            assert!(!owns("bob", other), "{other}");
        }
    }

    #[test]
    fn a_user_of_one_domain_owns_nothing_in_another() {
        assert!(owns("Bob@A.example", "bob@a.example") && !owns("bob@a.example", "bob@b.example"));
        assert!(!owns("bob@b.example", "bob@a.example"));
    }

    #[test]
    fn what_the_directory_gives_to_somebody_is_theirs_alone() {
        assert!(owns("alice", "sales@a.example") && owns("alice@a.example", "sales@a.example"));
        assert!(!owns("sales", "sales@a.example"), "although Dovecot may have a user of that name");
        assert!(!owns("alice@b.example", "sales@a.example"));
    }

    #[test]
    fn a_login_is_an_address_or_a_name_of_our_own_directory() {
        let dir = tempfile::tempdir().unwrap();
        let people = people(dir.path());
        let is = |name: &str, login: &str| User::parse(name, &domains()).unwrap().is_login(&people, &domains(), login);
        assert!(is("alice", "alice") && is("alice", "alice@b.example") && is("alice@a.example", "sales@a.example"));
        assert!(!is("alice@a.example", "alice"), "who that is in two domains, only the directory knows");
        assert!(!is("alice@a.example", "alice@b.example") && !is("bob", "alice") && !is("bob", ""));
        let one = [Domain::parse("a.example").unwrap()];
        assert!(User::parse("alice@a.example", &one).unwrap().is_login(&people, &one, "alice"));
    }

    #[test]
    fn who_is_in_no_domain_of_ours_is_nobody() {
        for name in ["", "@", "bob@c.example", "a b", "a/b", "..", "bob@", "\u{fffd}\n", "bob@a.example@c.example"] {
            assert_eq!(User::parse(name, &domains()), None, "{name:?}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_begins_with_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let people = people(dir.path());
        let starts = |name: &str| User::parse(name, &domains()).unwrap().starts(&people, &domains());
        for spelled in ["bob@a.example", "BOB@a.example", "bOb+tag@b.example"] {
            assert!(starts("bob").iter().filter(|start| spelled.starts_with(start.as_str())).count() == 1, "{spelled}");
        }
        assert_eq!(starts("bob").len(), 8);
        assert_eq!(starts("x"), ["X", "x"]);
        assert_eq!(starts("_x"), [""], "what begins with no letter is looked for everywhere");
        assert_eq!(starts("1a"), ["1A", "1a"]);
    }
}
