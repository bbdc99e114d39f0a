//! Files that messages name: they go with the last words of their author that name them, and not before.

use postline_core::client::Command;
use postline_core::client::io::{BytesOut, Event, Far, Input, Saying, SessionIn, Words};
use postline_core::content::external::External;
use postline_core::content::part::{Disposition, Part, Semantics};
use postline_core::content::preview::Preview;
use postline_core::content::text::{ClaimedName, Media};
use postline_core::fault::Code;
use postline_core::id::{Address, BlobRef};
use postline_core::limits;
use postline_core::seal::attachment::Sealer;
use postline_core::step::Tick;
use postline_core::store::Key;
use postline_core::time::Millis;
use postline_core::wire::file::File;
use postline_core::wire::frame::Frame;

use crate::kit::{World, ann, ben};
use crate::sayings::{has_on_disk, say, seen, three};

/// What a content says of a file that nobody else has.
fn attached(seed: u8, name: &str) -> (BlobRef, External) {
    let (mut sealer, _) = Sealer::begin(&Tick { now: Millis(0), entropy: [seed; 32] }, 5).unwrap();
    sealer.chunk(&mut b"hello".to_vec()).unwrap();
    let made = sealer.finish().unwrap();
    let external = made.to_external(Media::parse("text/plain").unwrap(), ClaimedName::parse(name).unwrap()).unwrap();
    (made.blob(), external)
}

fn message(external: &External) -> Saying {
    Saying::message(Part::attachment(external.clone()))
}

/// Has a device say a message with a file; gives its place.
fn sends(world: &mut World, n: usize, external: &External) -> u64 {
    say(world, n, message(external));
    seen(world, n)[0].0
}

/// What a device had its node let go, of the frames since the last look.
fn let_go(world: &mut World) -> Vec<(Address, Address, BlobRef)> {
    let frames = std::mem::take(&mut world.office.tape);
    let of = |frame| match frame {
        Frame::File(File::Forget { whose, theirs, file }) => Some((whose, theirs, file)),
        _ => None,
    };
    frames.into_iter().filter_map(of).collect()
}

/// Whatever the node was asked to let go, it has.
fn answers(world: &mut World, n: usize, whose: Address, theirs: Address, file: BlobRef, gone: Result<(), Code>) {
    let said = File::Forgotten { whose, theirs, hash: file.sha256, gone };
    world.step(n, Input::Session(SessionIn::Frame(Frame::File(said))));
    world.settle();
}

fn waiting(world: &World, n: usize) -> usize {
    world.devices[n].disk.keys().filter(|key| matches!(key, Key::Forget(..))).count()
}

fn named(world: &World, n: usize) -> usize {
    world.devices[n].disk.keys().filter(|key| matches!(key, Key::Named(_))).count()
}

/// All devices of both let the file go with its message: the pieces, the key, and what their nodes have. [B-13] (attack 55)
#[test]
fn t_055_the_file_of_what_is_taken_back_is_let_go_by_every_device() {
    let (mut world, tablet) = three();
    let (file, external) = attached(1, "the plan.pdf");
    let at = sends(&mut world, 0, &external);
    for n in [0, 1, tablet] {
        assert!(has_on_disk(&world, n, "the plan.pdf"));
        assert_eq!((named(&world, n), waiting(&world, n)), (1, 0));
    }
    assert_eq!(let_go(&mut world), []);
    // Ben is fetching it.
    world.command(1, Command::Fetch { whose: ann(), file });
    say(&mut world, tablet, Saying::Retract { message: at });
    assert_eq!(let_go(&mut world), vec![(ann(), ben(), file); 3], "each has its own node do it");
    for n in [0, 1, tablet] {
        assert!(!has_on_disk(&world, n, "the plan.pdf"), "device {n}");
        assert!(world.devices[n].bytes.contains(&BytesOut::Forget(file)), "device {n}");
        assert_eq!((named(&world, n), waiting(&world, n)), (0, 1));
    }
    let failed =
        |event: &Event| matches!(event, Event::File { file: of, far: Far::Failed(Code::NoFile), .. } if *of == file);
    assert!(world.devices[1].events.iter().any(failed), "who waits for it hears so");
    // Unanswered it is said again on the next session, and after a crash; answered, never again.
    world.restart(0);
    world.reach(1, false);
    world.reach(1, true);
    world.pass(10_000);
    assert_eq!(let_go(&mut world), vec![(ann(), ben(), file); 2]);
    for n in [0, 1, tablet] {
        answers(&mut world, n, ann(), ben(), file, Ok(()));
        assert_eq!(waiting(&world, n), 0);
        world.restart(n);
    }
    world.pass(60_000);
    assert_eq!(let_go(&mut world), []);
}

/// An edit names it still, another message of its author's too; what others say of it keeps nothing. [B-13]
#[test]
fn a_file_stays_until_the_last_words_of_its_author_that_name_it_go() {
    let (mut world, _) = three();
    let (file, external) = attached(2, "a.jpg");
    let at = sends(&mut world, 0, &external);
    let renamed = External { name: ClaimedName::parse("b.jpg").unwrap(), ..external.clone() };
    say(&mut world, 0, Saying::Edit { message: at, body: Part::attachment(renamed) });
    let again = sends(&mut world, 0, &external);
    let by_ben = sends(&mut world, 1, &external);
    assert!(again > at && by_ben > again);
    say(&mut world, 0, Saying::Retract { message: at });
    assert_eq!(let_go(&mut world), [], "another message of its author's names it");
    say(&mut world, 0, Saying::Retract { message: again });
    assert_eq!(let_go(&mut world), vec![(ann(), ben(), file); 3]);
    assert!(!world.devices[1].bytes.contains(&BytesOut::Forget(file)), "what is here is named by ben");
    say(&mut world, 1, Saying::Retract { message: by_ben });
    assert_eq!(let_go(&mut world), vec![(ben(), ann(), file); 3]);
    assert_eq!(named(&world, 0), 0);
}

/// A node that has no room for the word hears it again, one that refuses doesn't; none is taken for noise. [B-12] [B-13]
#[test]
fn the_word_to_let_a_file_go_is_said_again_in_a_while_and_never_too_often() {
    let (mut world, _) = three();
    let (file, external) = attached(3, "a.jpg");
    let at = sends(&mut world, 0, &external);
    say(&mut world, 0, Saying::Retract { message: at });
    let_go(&mut world);
    answers(&mut world, 0, ann(), ben(), file, Err(Code::Busy));
    assert_eq!(waiting(&world, 0), 1);
    world.pass(limits::FILE_WAIT_MS + 1_000);
    assert_eq!(let_go(&mut world), [(ann(), ben(), file)]);
    answers(&mut world, 0, ann(), ben(), file, Err(Code::Unlisted));
    assert_eq!(waiting(&world, 0), 0);
    // Of one message as many as may be: more than are said in a second.
    let parts = (0..limits::FILES_NAMED + 8).map(|n| {
        let (_, external) = attached(10 + u8::try_from(n).unwrap(), "x");
        Part::attachment(external)
    });
    let body = Part::multi(Disposition::RENDER, Semantics::ProcessAll, parts.collect()).unwrap();
    for _ in 0..2 {
        say(&mut world, 0, Saying::message(body.clone()));
    }
    let places: Vec<u64> = seen(&mut world, 0)[..2].iter().map(|seen| seen.0).collect();
    for place in places {
        say(&mut world, 0, Saying::Retract { message: place });
    }
    world.pass(10_000);
    assert_eq!(let_go(&mut world).len(), 3 * limits::FILES_NAMED, "those beyond go when their time is over");
    assert!(seen(&mut world, 1).len() > 1, "nothing of it ended a session");
}

/// A picture that goes along is seen without a fetch, by every device, and goes with its message though that had no words. [B-14]
#[test]
fn t_055_the_preview_of_what_is_taken_back_is_on_no_disk_any_more() {
    let (mut world, tablet) = three();
    let (_, external) = attached(4, "beach.jpg");
    let picture = [b"\xff\xd8\xff", "what the beach looks like".as_bytes()].concat();
    let body = Part::attachment(external.clone()).with_preview(&Preview::new(&picture).unwrap()).unwrap();
    say(&mut world, 0, Saying::message(body));
    let at = seen(&mut world, 0)[0].0;
    for n in [0, 1, tablet] {
        let screen = crate::sayings::screen(&mut world, n, None, 1);
        let Words::Are { content, .. } = &screen.messages[0].now else { panic!("{screen:?}") };
        let kept = content.fields().body.kept_elsewhere();
        assert_eq!(kept, [(&external, Some(Preview::new(&picture).unwrap()))], "device {n}");
        assert!(has_on_disk(&world, n, "what the beach looks like"));
    }
    say(&mut world, tablet, Saying::Retract { message: at });
    for n in [0, 1, tablet] {
        assert!(!has_on_disk(&world, n, "what the beach looks like"), "device {n}");
        world.restart(n);
        assert!(!has_on_disk(&world, n, "what the beach looks like"), "device {n}, after a restart");
    }
}
