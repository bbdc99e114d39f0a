//! Who may leave a file, who gets it, and what everybody else hears: the same, whatever the reason.

use postline_core::fault::Code;
use postline_core::id::{Address, BlobRef, Hash, LinkId, Pair};
use postline_core::limits;
use postline_core::server::{Command, LinkIn};
use postline_core::wire::file::{BytesIn, BytesOut, File, Giver};
use postline_core::wire::frame::Frame;
use postline_world::world::World;

use crate::kit::{one, two, whole};
use crate::phones::{Phones, connected, unlisted};

const FILE: BlobRef = BlobRef { sha256: Hash([6; 32]), len: 100_000 };

fn keep(theirs: Address, file: BlobRef) -> File {
    File::Keep { theirs, file }
}

fn fetch(asker: Address, whose: Address, file: BlobRef) -> File {
    File::Fetch { asker, whose, file, from: 0 }
}

const fn kept(file: BlobRef, far: Result<u64, Code>) -> File {
    File::Kept { hash: file.sha256, far }
}

/// What a device's node says to something, and has done about bytes.
fn says(world: &mut World, phones: &mut Phones, phone: usize, file: File) -> (Vec<File>, Vec<BytesOut>) {
    phones.all[phone].file(world, file);
    phones.pass(world, 50);
    heard(phones, phone)
}

fn tells(world: &mut World, phones: &mut Phones, phone: usize, bytes: BytesIn) -> (Vec<File>, Vec<BytesOut>) {
    phones.all[phone].bytes(world, bytes);
    phones.pass(world, 50);
    heard(phones, phone)
}

fn heard(phones: &mut Phones, phone: usize) -> (Vec<File>, Vec<BytesOut>) {
    let phone = &mut phones.all[phone];
    (std::mem::take(&mut phone.files), std::mem::take(&mut phone.bytes))
}

/// Has a device leave a file, whole.
fn left(world: &mut World, phones: &mut Phones, phone: usize, theirs: Address, file: BlobRef) {
    let (said, done) = says(world, phones, phone, keep(theirs, file));
    assert_eq!((said, done), (vec![], vec![BytesOut::Take(file)]));
    tells(world, phones, phone, BytesIn::Have(file.sha256, 0));
    let (said, _) = tells(world, phones, phone, BytesIn::Whole(file));
    assert_eq!(said, [kept(file, Ok(file.len))]);
}

/// The node's end of the link that is up.
fn link(world: &World, node: usize) -> LinkId {
    world.connections().find(|link| world.end_of(*link, node).is_some()).unwrap()
}

/// What the other node hears of the node, asking for a file over the link.
fn asked(world: &mut World, phones: &mut Phones, question: File) -> Vec<BytesOut> {
    let link = link(world, 0);
    world.bytes.clear();
    world.tell_link(0, link, LinkIn::Frame(Frame::File(question)));
    phones.pass(world, 50);
    world.bytes.iter().filter(|(node, _)| *node == 0).map(|(_, what)| *what).collect()
}

/// [B-7] [B-8]
#[test]
fn a_file_is_left_piece_by_piece_and_goes_on_where_it_was_cut() {
    let (mut world, mut phones, _) = connected();
    let (said, done) = says(&mut world, &mut phones, 0, keep(two(), FILE));
    assert_eq!((said, done), (vec![], vec![BytesOut::Take(FILE)]), "nothing is said before there is room");
    let (said, _) = tells(&mut world, &mut phones, 0, BytesIn::Have(FILE.sha256, 40_000));
    assert_eq!(said, [kept(FILE, Ok(40_000))], "so much was here before");
    let piece = |offset, len| File::Piece { hash: FILE.sha256, offset, len };
    let (said, _) = says(&mut world, &mut phones, 0, piece(40_000, 49_152));
    assert_eq!(said, [], "not each piece is told");
    says(&mut world, &mut phones, 0, piece(89_152, 10_848));
    let (said, _) = tells(&mut world, &mut phones, 0, BytesIn::Whole(FILE));
    assert_eq!(said, [kept(FILE, Ok(FILE.len))]);
    // What is here is said to be here, for somebody else too, and its author has it back.
    let (said, done) = says(&mut world, &mut phones, 0, keep(two(), FILE));
    assert_eq!((said, done), (vec![kept(FILE, Ok(FILE.len))], vec![]));
    let (said, done) = says(&mut world, &mut phones, 0, fetch(one(), one(), FILE));
    assert_eq!((said, done), (vec![], vec![BytesOut::Send(FILE, 0)]));
    whole(&world);
}

/// [B-8]
#[test]
fn a_file_is_fetched_from_its_authors_node_and_is_then_at_ones_own() {
    let (mut world, mut phones, _) = connected();
    left(&mut world, &mut phones, 0, two(), FILE);
    says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert_eq!(world.bytes.last(), Some(&(1, BytesOut::Take(FILE))), "its node makes room");
    let there = link(&world, 1);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 7)));
    phones.pass(&mut world, 50);
    assert_eq!(world.bytes.last(), Some(&(0, BytesOut::Send(FILE, 7))), "the author's sends the rest");
    // A second device of the person's waits with the first.
    let question = File::Fetch { asker: two(), whose: one(), file: FILE, from: 50 };
    let (_, done) = says(&mut world, &mut phones, 2, question);
    let giver = Giver::Node(world.nodes[0].nk());
    assert_eq!(done, [BytesOut::Pass(FILE, 50, giver)], "each from where it wants it, as it comes");
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Whole(FILE)));
    phones.pass(&mut world, 50);
    assert_eq!(heard(&mut phones, 1).1, [BytesOut::Rest(FILE)]);
    assert_eq!(heard(&mut phones, 2).1, [BytesOut::Rest(FILE)]);
    world.bytes.clear();
    tells(&mut world, &mut phones, 1, BytesIn::Sent(FILE.sha256));
    let (_, done) = says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert_eq!((done, world.bytes.len()), (vec![BytesOut::Send(FILE, 0)], 0), "nobody is asked again");
    whole(&world);
}

/// One is leaving a file, and a part of it is at their node.
fn leaving(world: &mut World, phones: &mut Phones, theirs: Address) -> Giver {
    says(world, phones, 0, keep(theirs, FILE));
    tells(world, phones, 0, BytesIn::Have(FILE.sha256, 0));
    says(world, phones, 0, File::Piece { hash: FILE.sha256, offset: 0, len: 49_152 });
    Giver::Device(phones.all[0].dk())
}

/// What is being left goes on as it comes: to the other's node, and from there to their device. Who left it hears that it is
/// kept once it is whole, and durable, and not before. [B-7] [B-8]
#[test]
fn a_file_is_passed_on_while_its_author_is_still_leaving_it() {
    let (mut world, mut phones, _) = connected();
    let giver = leaving(&mut world, &mut phones, two());
    let (_, done) = says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert_eq!(done, [BytesOut::Pass(FILE, 0, Giver::Node(world.nodes[0].nk()))]);
    let there = link(&world, 1);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
    phones.pass(&mut world, 50);
    assert_eq!(world.bytes.last(), Some(&(0, BytesOut::Pass(FILE, 0, giver))));
    assert_eq!(heard(&mut phones, 0).0, [], "nothing is kept yet");
    // It has all left, to both, before either node has it on its disk.
    let here = link(&world, 0);
    world.tell_link(0, here, LinkIn::Bytes(BytesIn::Sent(FILE.sha256)));
    tells(&mut world, &mut phones, 1, BytesIn::Sent(FILE.sha256));
    world.bytes.clear();
    let (said, _) = tells(&mut world, &mut phones, 0, BytesIn::Whole(FILE));
    assert_eq!(said, [kept(FILE, Ok(FILE.len))]);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Whole(FILE)));
    phones.pass(&mut world, 50);
    assert_eq!((heard(&mut phones, 1), world.bytes.len()), ((vec![], vec![]), 0), "it goes to nobody twice");
    let (_, done) = says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert_eq!(done, [BytesOut::Send(FILE, 0)], "and is at both");
    whole(&world);
}

/// What is being left for another is no more anybody's than what was left for them. [B-8] (attacks 12, 106)
#[test]
fn t_106_who_isnt_to_have_what_is_being_left_hears_of_no_file() {
    let (mut world, mut phones, _) = connected();
    let giver = leaving(&mut world, &mut phones, two());
    let stranger = Address::parse("three@b.example").unwrap();
    let longer = BlobRef { len: FILE.len + 1, ..FILE };
    for question in [
        fetch(stranger.clone(), one(), FILE),
        fetch(two(), stranger, FILE),
        fetch(two(), one(), longer),
        fetch(one(), two(), FILE),
    ] {
        assert_eq!(asked(&mut world, &mut phones, question.clone()), [], "{question:?}");
    }
    assert_eq!(
        asked(&mut world, &mut phones, fetch(two(), one(), FILE)),
        [BytesOut::Pass(FILE, 0, giver)],
        "the control"
    );
    // Once it is blocked it is none; what is let go ends on its way.
    let (said, _) = says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    assert_eq!(said, [kept(FILE, Err(Code::NoFile)), forgotten(one(), two(), FILE, Ok(()))]);
    assert!(world.bytes.contains(&(0, BytesOut::Leave(FILE))), "{:?}", world.bytes);
    leaving(&mut world, &mut phones, two());
    world.command(0, Command::Block(Pair { ours: one(), theirs: two() }));
    phones.pass(&mut world, 50);
    if world.connections().any(|link| world.end_of(link, 0).is_some()) {
        assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)), []);
    }
    whole(&world);
}

/// What was passed on and turns out to be something else ends as that, there too; what its author leaves no more of is given
/// up. [B-7] [B-10]
#[test]
fn what_is_passed_on_ends_as_what_comes_of_it() {
    for (bytes, code) in [(BytesIn::Spoiled(FILE), Code::Spoiled), (BytesIn::Failed(FILE.sha256), Code::Busy)] {
        let (mut world, mut phones, _) = connected();
        leaving(&mut world, &mut phones, two());
        says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
        let there = link(&world, 1);
        world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
        phones.pass(&mut world, 50);
        tells(&mut world, &mut phones, 0, bytes);
        assert!(world.bytes.contains(&(0, BytesOut::Leave(FILE))), "{:?}", world.bytes);
        assert_eq!(heard(&mut phones, 1), (vec![kept(FILE, Err(code))], vec![BytesOut::Leave(FILE)]));
        assert_eq!(
            says(&mut world, &mut phones, 1, fetch(two(), one(), FILE)).1,
            vec![BytesOut::Pass(FILE, 0, Giver::Node(world.nodes[0].nk()))]
        );
        whole(&world);
    }
    // Its author goes, and comes back in time: what was passed on waits, and goes on.
    let (mut world, mut phones, _) = connected();
    leaving(&mut world, &mut phones, two());
    assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)).len(), 1);
    phones.all[0].online = false;
    phones.pass(&mut world, limits::FILE_WAIT_MS / 2);
    world.bytes.clear();
    phones.all[0].online = true;
    phones.pass(&mut world, 50);
    says(&mut world, &mut phones, 0, keep(two(), FILE));
    tells(&mut world, &mut phones, 0, BytesIn::Have(FILE.sha256, 49_152));
    tells(&mut world, &mut phones, 0, BytesIn::Whole(FILE));
    assert_eq!(world.bytes, [(0, BytesOut::Rest(FILE))]);
    // And not in time.
    let (mut world, mut phones, _) = connected();
    leaving(&mut world, &mut phones, two());
    assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)).len(), 1);
    phones.all[0].online = false;
    phones.pass(&mut world, 2 * limits::FILE_WAIT_MS);
    assert_eq!(world.bytes.last(), Some(&(0, BytesOut::Leave(FILE))));
    whole(&world);
}

/// A node that asks for files in another's name learns nothing: what is another's, what never was, what is blocked and whom
/// nobody knows sound alike. [B-8] (attacks 12, 106)
#[test]
fn t_106_who_isnt_to_have_a_file_hears_what_they_would_of_one_that_never_was() {
    let (mut world, mut phones, _) = connected();
    left(&mut world, &mut phones, 0, two(), FILE);
    assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)), [BytesOut::Send(FILE, 0)], "the control");
    let stranger = Address::parse("three@b.example").unwrap();
    let never = BlobRef { sha256: Hash([7; 32]), len: 100_000 };
    let longer = BlobRef { len: FILE.len + 1, ..FILE };
    for question in [
        fetch(stranger.clone(), one(), FILE),
        fetch(two(), Address::parse("nobody@a.example").unwrap(), FILE),
        fetch(two(), stranger, FILE),
        fetch(two(), one(), never),
        fetch(two(), one(), longer),
    ] {
        assert_eq!(asked(&mut world, &mut phones, question.clone()), [], "{question:?}");
    }
    // Blocked, the same file is none.
    world.command(0, Command::Block(Pair { ours: one(), theirs: two() }));
    phones.pass(&mut world, 50);
    if world.connections().any(|link| world.end_of(link, 0).is_some()) {
        assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)), []);
    }
    let (said, done) = says(&mut world, &mut phones, 0, keep(two(), never));
    assert_eq!((said, done), (vec![kept(never, Err(Code::NotTrusted))], vec![]));
    let (said, done) = says(&mut world, &mut phones, 0, fetch(one(), two(), never));
    assert_eq!((said, done), (vec![kept(never, Err(Code::NoFile))], vec![]));
}

/// Who has but a mailbox's password leaves nothing, and nobody takes more than their places. [B-8] [B-10] (attacks 84, 96)
#[test]
fn t_084_a_device_leaves_no_more_than_it_may_and_one_on_no_list_nothing() {
    let (mut world, mut phones, _) = unlisted();
    let (said, done) = says(&mut world, &mut phones, 0, keep(two(), FILE));
    assert_eq!((said, done), (vec![kept(FILE, Err(Code::Unlisted))], vec![]));
    phones.list(&mut world);
    let file = |n: usize| BlobRef { sha256: Hash([u8::try_from(n).unwrap(); 32]), len: 100_000 };
    for n in 0..limits::FILE_TRANSFERS {
        assert_eq!(says(&mut world, &mut phones, 0, keep(two(), file(n))).1, [BytesOut::Take(file(n))]);
    }
    for n in limits::FILE_TRANSFERS..limits::FILE_TRANSFERS * 10 {
        let (said, done) = says(&mut world, &mut phones, 0, keep(two(), file(n)));
        assert_eq!((said, done), (vec![kept(file(n), Err(Code::Busy))], vec![]));
    }
    let huge = BlobRef { len: limits::ATTACHMENT_BYTES + 1, ..FILE };
    assert_eq!(says(&mut world, &mut phones, 0, keep(two(), huge)).0, [kept(huge, Err(Code::TooBig))]);
    // Nothing comes of them: they are given up, and others may come.
    phones.pass(&mut world, limits::FILE_WAIT_MS + 1_000);
    let (said, done) = heard(&mut phones, 0);
    assert_eq!((said.len(), done.len()), (limits::FILE_TRANSFERS, limits::FILE_TRANSFERS));
    assert!(said.iter().all(|said| matches!(said, File::Kept { far: Err(Code::Timeout), .. })), "{said:?}");
    assert_eq!(says(&mut world, &mut phones, 0, keep(two(), FILE)).1, [BytesOut::Take(FILE)]);
    whole(&world);
}

/// [B-7] (attack 96)
#[test]
fn t_096_a_piece_out_of_its_order_ends_the_session_and_one_of_no_file_nothing() {
    let (mut world, mut phones, _) = connected();
    let piece = |hash, offset, len| File::Piece { hash, offset, len };
    let (said, _) = says(&mut world, &mut phones, 0, piece(Hash([9; 32]), 0, 49_152));
    assert!(said.is_empty() && phones.all[0].is_up(), "of a file that was given up");
    for (offset, len) in [(1, 10), (0, 0), (99_999, 2)] {
        says(&mut world, &mut phones, 0, keep(two(), FILE));
        let here = if offset == 99_999 { 99_999 } else { 0 };
        tells(&mut world, &mut phones, 0, BytesIn::Have(FILE.sha256, here));
        phones.all[0].online = false;
        says(&mut world, &mut phones, 0, piece(FILE.sha256, offset, len));
        assert!(!phones.all[0].is_up(), "{offset}, {len}: it goes on");
        phones.all[0].online = true;
        phones.pass(&mut world, 50);
        assert!(phones.all[0].is_up());
    }
    // What isn't what it was called, or finds no room on the disk, is told and forgotten.
    for (bytes, code) in [(BytesIn::Spoiled(FILE), Code::Spoiled), (BytesIn::Failed(FILE.sha256), Code::Busy)] {
        says(&mut world, &mut phones, 0, keep(two(), FILE));
        assert_eq!(tells(&mut world, &mut phones, 0, bytes).0, [kept(FILE, Err(code))]);
    }
    assert_eq!(says(&mut world, &mut phones, 0, fetch(one(), one(), FILE)).0, [kept(FILE, Err(Code::NoFile))]);
    whole(&world);
}

fn forget(whose: Address, theirs: Address, file: BlobRef) -> File {
    File::Forget { whose, theirs, file }
}

const fn forgotten(whose: Address, theirs: Address, file: BlobRef, gone: Result<(), Code>) -> File {
    File::Forgotten { whose, theirs, hash: file.sha256, gone }
}

/// Two has fetched what one has left: it is at both nodes.
fn fetched(world: &mut World, phones: &mut Phones) {
    left(world, phones, 0, two(), FILE);
    says(world, phones, 1, fetch(two(), one(), FILE));
    let there = link(world, 1);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Whole(FILE)));
    phones.pass(world, 50);
    assert_eq!(heard(phones, 1).1, [BytesOut::Rest(FILE)]);
    tells(world, phones, 1, BytesIn::Sent(FILE.sha256));
}

/// What one lets go is nowhere any more: at their node, at the other's, over a link that was down and nodes that crashed. [B-12]
/// (attack 55)
#[test]
fn t_055_what_its_author_lets_go_is_at_neither_node() {
    for (down, crash) in [(false, false), (true, false), (true, true)] {
        let (mut world, mut phones, _) = connected();
        fetched(&mut world, &mut phones);
        if down {
            world.cut(link(&world, 0));
        }
        let (said, _) = says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
        assert_eq!(said, [forgotten(one(), two(), FILE, Ok(()))]);
        if crash {
            world.crash(0);
            world.crash(1);
        }
        phones.pass(&mut world, 300_000);
        for phone in [0, 1, 2] {
            heard(&mut phones, phone);
            let asker = phones.all[phone].address.clone();
            let (said, done) = says(&mut world, &mut phones, phone, fetch(asker, one(), FILE));
            let done: Vec<_> = done.into_iter().filter(|done| matches!(done, BytesOut::Send(..))).collect();
            assert_eq!(done, [], "{phone}, {down}, {crash}");
            assert!(said.iter().all(|said| *said == kept(FILE, Err(Code::NoFile))), "{said:?}");
        }
        // It is asked for at one's node in vain, and nothing waits to be said any more.
        phones.pass(&mut world, 1_000);
        whole(&world);
    }
}

/// A node that crashed while it fetched a file lets go of what had come of it, when it hears so: no machine knows of that any
/// more. [B-12] (attack 55)
#[test]
fn t_055_what_a_crash_has_left_of_a_file_that_is_let_go_goes_too() {
    let (mut world, mut phones, _) = connected();
    left(&mut world, &mut phones, 0, two(), FILE);
    says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    let there = link(&world, 1);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
    phones.pass(&mut world, 50);
    world.crash(1);
    phones.pass(&mut world, 300_000);
    world.bytes.clear();
    says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    phones.pass(&mut world, 300_000);
    assert!(world.bytes.contains(&(1, BytesOut::Forget(FILE))), "{:?}", world.bytes);
    whole(&world);
}

/// Nobody takes a file from others but who left it, and a reader only their own copy. [B-12] (attacks 12, 106)
#[test]
fn t_106_nobody_lets_go_what_another_has_left() {
    let (mut world, mut phones, _) = connected();
    fetched(&mut world, &mut phones);
    // A device names other people, or what it hears is a node's to say.
    let stranger = Address::parse("three@b.example").unwrap();
    let not_theirs = forget(stranger.clone(), stranger.clone(), FILE);
    let (said, _) = says(&mut world, &mut phones, 1, not_theirs);
    assert_eq!(said, [forgotten(stranger.clone(), stranger.clone(), FILE, Err(Code::NotTrusted))]);
    // A node speaks for those whose line is with it, and of what came from there.
    for (whose, theirs) in [(stranger.clone(), one()), (two(), stranger.clone()), (one(), two())] {
        world.bytes.clear();
        asked(&mut world, &mut phones, forget(whose, theirs, FILE));
    }
    asked(&mut world, &mut phones, forget(two(), one(), FILE));
    assert_eq!(asked(&mut world, &mut phones, fetch(two(), one(), FILE)), [BytesOut::Send(FILE, 0)], "it is there");
    // A reader's devices let go of their own copy, and of nothing else; twice is as once.
    for _ in 0..2 {
        let (said, _) = says(&mut world, &mut phones, 1, forget(one(), two(), FILE));
        assert_eq!(said, [forgotten(one(), two(), FILE, Ok(()))]);
    }
    let (said, done) = says(&mut world, &mut phones, 0, fetch(one(), one(), FILE));
    assert_eq!((said, done), (vec![], vec![BytesOut::Send(FILE, 0)]), "its author still has it");
    says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert_eq!(world.bytes.last(), Some(&(1, BytesOut::Take(FILE))), "and it is fetched anew");
    whole(&world);
}

/// Who has but a mailbox's password lets nothing go. [B-12] (attack 73)
#[test]
fn t_073_a_device_on_no_list_lets_nothing_go() {
    let (mut world, mut phones, _) = unlisted();
    let (said, _) = says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    assert_eq!(said, [forgotten(one(), two(), FILE, Err(Code::Unlisted))]);
    whole(&world);
}

/// What is on its way stops: an upload, a fetch over the link, what goes to devices. [B-12]
#[test]
fn what_is_on_its_way_of_a_file_that_is_let_go_stops() {
    let (mut world, mut phones, _) = connected();
    says(&mut world, &mut phones, 0, keep(two(), FILE));
    tells(&mut world, &mut phones, 0, BytesIn::Have(FILE.sha256, 0));
    let (said, done) = says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    assert_eq!(done, [BytesOut::Forget(FILE)], "what came of it goes");
    assert_eq!(said, [kept(FILE, Err(Code::NoFile)), forgotten(one(), two(), FILE, Ok(()))]);

    left(&mut world, &mut phones, 0, two(), FILE);
    says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    let there = link(&world, 1);
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
    phones.pass(&mut world, 50);
    world.bytes.clear();
    says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    assert!(world.bytes.contains(&(0, BytesOut::Leave(FILE))), "{:?}", world.bytes);
    assert!(world.bytes.iter().any(|(node, _)| *node == 1), "{:?}", world.bytes);
    assert_eq!(heard(&mut phones, 1).0, [kept(FILE, Err(Code::NoFile))], "who waits for it hears so");
    // Its bytes come all the same, whole: nobody wants them.
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Whole(FILE)));
    let (said, done) = says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    assert!(!done.contains(&BytesOut::Send(FILE, 0)), "{said:?}");
    whole(&world);
}

/// The same file with another stays, until that goes too. [B-12]
#[test]
fn a_file_that_was_left_for_another_too_stays() {
    let (mut world, mut phones, _) = connected();
    left(&mut world, &mut phones, 0, two(), FILE);
    let longer = BlobRef { len: FILE.len + 1, ..FILE };
    left(&mut world, &mut phones, 0, two(), longer);
    says(&mut world, &mut phones, 0, forget(one(), two(), FILE));
    let (_, done) = says(&mut world, &mut phones, 0, fetch(one(), one(), longer));
    assert_eq!(done, [BytesOut::Send(longer, 0)]);
    says(&mut world, &mut phones, 0, forget(one(), two(), longer));
    let (said, _) = says(&mut world, &mut phones, 0, fetch(one(), one(), longer));
    assert_eq!(said, [kept(longer, Err(Code::NoFile))]);
    whole(&world);
}

/// A file whose bytes a node can't read is refused to who asks, and ends no session and no link. [B-8]
#[test]
fn a_file_that_cannot_be_read_is_said_to_be_so() {
    let (mut world, mut phones, _) = connected();
    left(&mut world, &mut phones, 0, two(), FILE);
    says(&mut world, &mut phones, 0, fetch(one(), one(), FILE));
    let (said, _) = tells(&mut world, &mut phones, 0, BytesIn::Failed(FILE.sha256));
    assert_eq!(said, [kept(FILE, Err(Code::Spoiled))]);
    says(&mut world, &mut phones, 1, fetch(two(), one(), FILE));
    let (here, there) = (link(&world, 0), link(&world, 1));
    world.tell_link(1, there, LinkIn::Bytes(BytesIn::Have(FILE.sha256, 0)));
    phones.pass(&mut world, 50);
    world.tell_link(0, here, LinkIn::Bytes(BytesIn::Failed(FILE.sha256)));
    phones.pass(&mut world, 50);
    assert_eq!(heard(&mut phones, 1).0, [kept(FILE, Err(Code::Spoiled))]);
    assert!(phones.all[0].is_up() && phones.all[1].is_up() && link(&world, 0) == here);
    whole(&world);
}
