//! The frames about sealed conversations, and the keys that they take: bodies of the types 16 to 27.
//!
//! | type | frame     | body                                                                                        |
//! |-----:|-----------|---------------------------------------------------------------------------------------------|
//! |   16 | Post      | `[conversation, device, number, kind, epoch, [member …], bytes]`                             |
//! |   17 | Unposted  | `[conversation, device, number, code]`                                                       |
//! |   18 | Event     | `[conversation, term, seq, kind, epoch, [device, number] or null, [member …], bytes or null]` |
//! |   19 | Have      | `[conversation, seq]`                                                                        |
//! |   20 | Heads     | `[[leaf or null …], [[place, conversation, term, seq, hash] …], signature]`                          |
//! |   21 | Delivered | `[conversation, member, seq]`                                                                |
//! |   22 | Publish   | `[number, 0, list]`, `[number, 1, theirs, proof]`, `[number, 2, [package …], package or null]`, `[number, 3, device or null, note]`, `[number, 4, theirs, blocked]` |
//! |   23 | Published | `[number, code or null]`                                                                     |
//! |   24 | Ask       | `[number, 0, asker, whose, after]`, `[number, 1, asker, whose, [device …]]`, `[number, 2, conversation, from, to]` |
//! |   25 | Answer    | `[number, 0, [list …]]`, `[number, 1, [package …]]`, `[number, 2]`, `[number, 3, code]`        |
//! |   26 | Line      | `[theirs, t2 or null, offered, nk, proof or null, list]`                                      |
//! |   27 | Login     | `[user, password]`                                                                           |

use postline_core::id::{Address, ConversationId, DeviceKey, DeviceTag, Hash, NodeKey};
use postline_core::limits;
use postline_core::wire::cbor::{Malformed, Reader, Writer};
use postline_core::wire::talk::{
    Event, Finding, Head, Heads, Kind, Line, Origin, Password, Post, Publication, Question, Talk,
};

const POST: u8 = 16;
const UNPOSTED: u8 = 17;
const EVENT: u8 = 18;
const HAVE: u8 = 19;
const HEADS: u8 = 20;
const DELIVERED: u8 = 21;
const PUBLISH: u8 = 22;
const PUBLISHED: u8 = 23;
const ASK: u8 = 24;
const ANSWER: u8 = 25;
const LINE: u8 = 26;
const LOGIN: u8 = 27;

const PUBLISH_LIST: u64 = 0;
const PUBLISH_PROOF: u64 = 1;
const PUBLISH_PACKAGES: u64 = 2;
const PUBLISH_NOTE: u64 = 3;
const PUBLISH_BLOCK: u64 = 4;

const ASK_LISTS: u64 = 0;
const ASK_PACKAGES: u64 = 1;
const ASK_RANGE: u64 = 2;

const FOUND_LISTS: u64 = 0;
const FOUND_PACKAGES: u64 = 1;
const FOUND_SENT: u64 = 2;
const FOUND_NOTHING: u64 = 3;

pub(super) const fn is_known(kind: u8) -> bool {
    matches!(kind, POST..=LOGIN)
}

pub(super) const fn kind_of(talk: &Talk) -> u8 {
    match talk {
        Talk::Post(_) => POST,
        Talk::Unposted { .. } => UNPOSTED,
        Talk::Event(_) => EVENT,
        Talk::Have { .. } => HAVE,
        Talk::Heads(_) => HEADS,
        Talk::Delivered { .. } => DELIVERED,
        Talk::Publish { .. } => PUBLISH,
        Talk::Published { .. } => PUBLISHED,
        Talk::Ask { .. } => ASK,
        Talk::Answer { .. } => ANSWER,
        Talk::Line(_) => LINE,
        Talk::Login { .. } => LOGIN,
    }
}

pub(super) fn write(talk: &Talk, w: &mut Writer) {
    match talk {
        Talk::Post(post) => {
            w.array(7).bytes(&post.conversation.0).bytes(&post.origin.device.0).u64(post.origin.number);
            w.u64(post.kind as u64).u64(post.epoch);
            write_members(&post.members, w);
            w.bytes(&post.bytes);
        }
        Talk::Unposted { conversation, origin, code } => {
            w.array(4).bytes(&conversation.0).bytes(&origin.device.0).u64(origin.number).u64(*code as u64);
        }
        Talk::Event(event) => write_event(event, w),
        Talk::Have { conversation, seq } => {
            w.array(2).bytes(&conversation.0).u64(*seq);
        }
        Talk::Heads(heads) => write_heads(heads, w),
        Talk::Delivered { conversation, member, seq } => {
            w.array(3).bytes(&conversation.0).address(member).u64(*seq);
        }
        Talk::Publish { number, what } => write_publication(*number, what, w),
        Talk::Published { number, code } => {
            w.array(2).u64(*number).maybe(*code, |w, code| w.u64(code as u64));
        }
        Talk::Ask { number, what } => write_question(*number, what, w),
        Talk::Answer { number, what: Ok(Finding::Lists(lists)) } => {
            w.array(3).u64(*number).u64(FOUND_LISTS);
            write_all(lists, w);
        }
        Talk::Answer { number, what: Ok(Finding::Packages(packages)) } => {
            w.array(3).u64(*number).u64(FOUND_PACKAGES);
            write_all(packages, w);
        }
        Talk::Answer { number, what: Ok(Finding::Sent) } => {
            w.array(2).u64(*number).u64(FOUND_SENT);
        }
        Talk::Answer { number, what: Err(code) } => {
            w.array(3).u64(*number).u64(FOUND_NOTHING).u64(*code as u64);
        }
        Talk::Line(line) => {
            w.array(6).address(&line.theirs).maybe(line.t2, |w, t2| w.bytes(&t2.0)).bool(line.offered);
            w.bytes(&line.nk.0).maybe(line.proof.as_deref(), |w, proof| w.bytes(proof)).u64(line.list);
        }
        Talk::Login { user, password } => {
            w.array(2).str(user).str(&password.0);
        }
    }
}

fn write_members(members: &[Address], w: &mut Writer) {
    w.list(members.iter(), |w, member| {
        w.address(member);
    });
}

fn write_all(items: &[Vec<u8>], w: &mut Writer) {
    w.list(items.iter(), |w, item| {
        w.bytes(item);
    });
}

fn write_event(event: &Event, w: &mut Writer) {
    w.array(8).bytes(&event.conversation.0).u64(event.term).u64(event.seq).u64(event.kind as u64).u64(event.epoch);
    w.maybe(event.origin, |w, origin| w.array(2).bytes(&origin.device.0).u64(origin.number));
    write_members(&event.members, w);
    w.maybe(event.bytes.as_deref(), |w, bytes| w.bytes(bytes));
}

fn write_heads(heads: &Heads, w: &mut Writer) {
    // The leaf of a head that is said in full need not be said.
    let said = |place: usize| heads.heads.iter().find(|(at, _)| usize::from(*at) == place).map(|(_, head)| head.leaf());
    w.array(3).list(heads.leaves.iter().enumerate(), |w, (place, leaf)| {
        w.maybe(Some(leaf).filter(|leaf| said(place) != Some(**leaf)), |w, leaf| w.bytes(&leaf.0));
    });
    w.list(heads.heads.iter(), |w, (place, head)| {
        w.array(5).u64((*place).into()).bytes(&head.conversation.0).u64(head.term).u64(head.seq).bytes(&head.hash.0);
    });
    w.bytes(&heads.signature);
}

fn write_publication(number: u64, what: &Publication, w: &mut Writer) {
    match what {
        Publication::List(list) => {
            w.array(3).u64(number).u64(PUBLISH_LIST).bytes(list);
        }
        Publication::Proof { theirs, bytes } => {
            w.array(4).u64(number).u64(PUBLISH_PROOF).address(theirs).bytes(bytes);
        }
        Publication::Packages { once, last_resort } => {
            w.array(4).u64(number).u64(PUBLISH_PACKAGES);
            write_all(once, w);
            w.maybe(last_resort.as_deref(), |w, package| w.bytes(package));
        }
        Publication::Note { to, bytes } => {
            w.array(4).u64(number).u64(PUBLISH_NOTE).maybe(*to, |w, dk| w.bytes(&dk.0)).bytes(bytes);
        }
        Publication::Block { theirs, blocked } => {
            w.array(4).u64(number).u64(PUBLISH_BLOCK).address(theirs).bool(*blocked);
        }
    }
}

fn write_question(number: u64, what: &Question, w: &mut Writer) {
    match what {
        Question::Lists { asker, whose, after } => {
            w.array(5).u64(number).u64(ASK_LISTS).address(asker).address(whose).u64(*after);
        }
        Question::Packages { asker, whose, only } => {
            w.array(5).u64(number).u64(ASK_PACKAGES).address(asker).address(whose).list(only.iter(), |w, dk| {
                w.bytes(&dk.0);
            });
        }
        Question::Range { conversation, from, to } => {
            w.array(5).u64(number).u64(ASK_RANGE).bytes(&conversation.0).u64(*from).u64(*to);
        }
    }
}

pub(super) fn read(kind: u8, r: &mut Reader<'_>) -> Result<Talk, Malformed> {
    Ok(match kind {
        POST => {
            r.array_of(7)?;
            let (conversation, origin) = (ConversationId(r.fixed()?), read_origin(r)?);
            let (kind, epoch, members) = (read_kind(r)?, r.u64()?, read_members(r)?);
            let bytes = read_bytes(r, limits::EVENT_BYTES)?;
            Talk::Post(Post { conversation, origin, kind, epoch, members, bytes })
        }
        UNPOSTED => {
            r.array_of(4)?;
            let (conversation, origin) = (ConversationId(r.fixed()?), read_origin(r)?);
            Talk::Unposted { conversation, origin, code: super::read_code(r)? }
        }
        EVENT => {
            r.array_of(8)?;
            let (conversation, term, seq) = (ConversationId(r.fixed()?), r.u64()?, r.u64()?);
            let (kind, epoch) = (read_kind(r)?, r.u64()?);
            let origin = r.maybe(|r| {
                r.array_of(2)?;
                read_origin(r)
            })?;
            let members = read_members(r)?;
            let bytes = r.maybe(|r| read_bytes(r, limits::EVENT_BYTES))?;
            Talk::Event(Event { conversation, term, seq, kind, epoch, origin, members, bytes })
        }
        HAVE => {
            r.array_of(2)?;
            Talk::Have { conversation: ConversationId(r.fixed()?), seq: r.u64()? }
        }
        HEADS => Talk::Heads(read_heads(r)?),
        DELIVERED => {
            r.array_of(3)?;
            Talk::Delivered { conversation: ConversationId(r.fixed()?), member: r.address()?, seq: r.u64()? }
        }
        PUBLISH => read_publication(r)?,
        PUBLISHED => {
            r.array_of(2)?;
            Talk::Published { number: r.u64()?, code: r.maybe(super::read_code)? }
        }
        ASK => read_question(r)?,
        ANSWER => read_answer(r)?,
        LINE => {
            r.array_of(6)?;
            Talk::Line(Line {
                theirs: r.address()?,
                t2: r.maybe(|r| r.fixed().map(Hash))?,
                offered: r.bool()?,
                nk: NodeKey(r.fixed()?),
                proof: r.maybe(|r| read_bytes(r, limits::LIST_BYTES))?,
                list: r.u64()?,
            })
        }
        LOGIN => {
            r.array_of(2)?;
            let (user, password) = (r.str()?, r.str()?);
            if user.len() > limits::LOGIN_BYTES || password.len() > limits::PASSWORD_BYTES {
                return Err(Malformed("a login within bounds"));
            }
            Talk::Login { user: user.to_owned(), password: Password(password.to_owned().into()) }
        }
        _ => return Err(Malformed("a type of version 1")),
    })
}

fn read_origin(r: &mut Reader<'_>) -> Result<Origin, Malformed> {
    Ok(Origin { device: DeviceTag(r.fixed()?), number: r.u64()? })
}

fn read_kind(r: &mut Reader<'_>) -> Result<Kind, Malformed> {
    match r.u64()? {
        0 => Ok(Kind::Create),
        1 => Ok(Kind::Commit),
        2 => Ok(Kind::Message),
        _ => Err(Malformed("a kind of version 1")),
    }
}

fn read_members(r: &mut Reader<'_>) -> Result<Vec<Address>, Malformed> {
    let members = r.list(limits::MEMBERS as u64, Reader::address)?;
    if members.is_sorted_by(|a, b| a < b) { Ok(members) } else { Err(Malformed("members in order, none twice")) }
}

fn read_bytes(r: &mut Reader<'_>, max: usize) -> Result<Vec<u8>, Malformed> {
    let bytes = r.bytes()?;
    if bytes.len() <= max { Ok(bytes.to_vec()) } else { Err(Malformed("bytes within bounds")) }
}

fn read_heads(r: &mut Reader<'_>) -> Result<Heads, Malformed> {
    r.array_of(3)?;
    let leaves: Vec<Option<Hash>> = r.list(limits::HEADS as u64, |r| r.maybe(|r| r.fixed().map(Hash)))?;
    let heads = r.list(leaves.len() as u64, |r| {
        r.array_of(5)?;
        let place = r.u64()?.try_into().map_err(|_| Malformed("a place among the leaves"))?;
        let head =
            Head { conversation: ConversationId(r.fixed()?), term: r.u64()?, seq: r.u64()?, hash: Hash(r.fixed()?) };
        Ok((place, head))
    })?;
    let leaves = whole_leaves(&leaves, &heads).ok_or(Malformed("a leaf, or its head, at each place"))?;
    Ok(Heads { leaves, heads, signature: read_bytes(r, 64)? })
}

/// All leaves: those that were left out are their heads'. `None` where neither is there, or both are.
fn whole_leaves(said: &[Option<Hash>], heads: &[(u8, Head)]) -> Option<Vec<Hash>> {
    let mut leaves = said.to_vec();
    for (place, head) in heads {
        let leaf = leaves.get_mut(usize::from(*place))?;
        match leaf {
            Some(said) if *said == head.leaf() => return None,
            Some(_) => {}
            None => *leaf = Some(head.leaf()),
        }
    }
    leaves.into_iter().collect()
}

fn read_publication(r: &mut Reader<'_>) -> Result<Talk, Malformed> {
    let items = r.array(4)?;
    let number = r.u64()?;
    let what = match (r.u64()?, items) {
        (PUBLISH_LIST, 3) => Publication::List(read_bytes(r, limits::LIST_BYTES)?),
        (PUBLISH_PROOF, 4) => Publication::Proof { theirs: r.address()?, bytes: read_bytes(r, limits::LIST_BYTES)? },
        (PUBLISH_PACKAGES, 4) => Publication::Packages {
            once: r.list(limits::PACKAGES as u64, |r| read_bytes(r, limits::PACKAGE_BYTES))?,
            last_resort: r.maybe(|r| read_bytes(r, limits::PACKAGE_BYTES))?,
        },
        (PUBLISH_NOTE, 4) => {
            Publication::Note { to: r.maybe(|r| r.fixed().map(DeviceKey))?, bytes: read_bytes(r, limits::NOTE_BYTES)? }
        }
        (PUBLISH_BLOCK, 4) => Publication::Block { theirs: r.address()?, blocked: r.bool()? },
        _ => return Err(Malformed("a publication of version 1")),
    };
    Ok(Talk::Publish { number, what })
}

fn read_question(r: &mut Reader<'_>) -> Result<Talk, Malformed> {
    r.array_of(5)?;
    let number = r.u64()?;
    let what = match r.u64()? {
        ASK_LISTS => Question::Lists { asker: r.address()?, whose: r.address()?, after: r.u64()? },
        ASK_PACKAGES => Question::Packages {
            asker: r.address()?,
            whose: r.address()?,
            only: r.list(limits::DEVICES as u64, |r| r.fixed().map(DeviceKey))?,
        },
        ASK_RANGE => Question::Range { conversation: ConversationId(r.fixed()?), from: r.u64()?, to: r.u64()? },
        _ => return Err(Malformed("a question of version 1")),
    };
    Ok(Talk::Ask { number, what })
}

fn read_answer(r: &mut Reader<'_>) -> Result<Talk, Malformed> {
    let items = r.array(3)?;
    let number = r.u64()?;
    let what = match (r.u64()?, items) {
        (FOUND_LISTS, 3) => {
            Ok(Finding::Lists(r.list(limits::LISTS_PER_ANSWER as u64, |r| read_bytes(r, limits::LIST_BYTES))?))
        }
        (FOUND_PACKAGES, 3) => {
            Ok(Finding::Packages(r.list(limits::DEVICES as u64, |r| read_bytes(r, limits::PACKAGE_BYTES))?))
        }
        (FOUND_SENT, 2) => Ok(Finding::Sent),
        (FOUND_NOTHING, 3) => Err(super::read_code(r)?),
        _ => return Err(Malformed("an answer of version 1")),
    };
    Ok(Talk::Answer { number, what })
}
