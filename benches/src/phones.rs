//! What people see whose devices seal and open: each a whole client with a store of its own, and a thread, all in this process.

use std::time::Instant;

use postline_core::id::Address;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use crate::Fault;
use crate::figures::Samples;
use crate::nodes::{Nodes, reader, writer};
use crate::talker::Talker;
use crate::talks::{Burst, Lone, Meter, WINDOW, at};

/// How long the body of a message is.
const BODY: usize = 200;

/// Two devices that have said something to each other.
pub struct Couple {
    from: Talker,
    to: Talker,
}

/// Enrols a device of each of the `n`th pair, each with proven keys of the other.
///
/// # Errors
/// Where one is refused something.
pub fn enrol(runtime: &Runtime, nodes: &Nodes, n: usize) -> Result<(Talker, Talker), Fault> {
    let mut from = Talker::start(nodes.dir(), &writer(n), at(&nodes.a)?, nodes.a.nk()?)?;
    let mut to = Talker::start(nodes.dir(), &reader(n), at(&nodes.b)?, nodes.b.nk()?)?;
    runtime.block_on(async {
        from.enrol().await?;
        to.enrol().await?;
        from.keys_of(&to.address.clone()).await?;
        to.keys_of(&from.address.clone()).await
    })?;
    Ok((from, to))
}

/// Enrols a device of each of the `n`th pair, and has them talk.
///
/// # Errors
/// Where one is refused something.
pub fn meet(runtime: &Runtime, nodes: &Nodes, n: usize) -> Result<Couple, Fault> {
    let (mut from, mut to) = enrol(runtime, nodes, n)?;
    runtime.block_on(async {
        from.write(&to.address, BODY).await?;
        to.hears().await?;
        from.delivered().await.map(drop)
    })?;
    Ok(Couple { from, to })
}

/// Sends `count` messages, each after the mark of the one before, and once that was heard.
///
/// # Errors
/// Where one doesn't come.
pub fn lone(runtime: &Runtime, couple: Couple, count: usize) -> Result<Lone, Fault> {
    let Couple { from, to } = couple;
    let theirs = to.address.clone();
    let (tell, mut told) = unbounded_channel();
    let heard = to.there(|mut to| async move {
        for _ in 0..count {
            to.hears().await?;
            // Nobody listens where the author has already failed.
            let _ended = tell.send(Instant::now());
        }
        Ok::<_, Fault>(to)
    });
    let wrote = from.there(|mut from| async move {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let began = Instant::now();
            from.write(&theirs, BODY).await?;
            from.delivered().await?;
            back.push(began.elapsed());
            let seen: Instant = told.recv().await.ok_or("the reader ended")?;
            there.push(seen - began);
        }
        Ok::<_, Fault>((from, there, back))
    });
    let (_from, there, back) = runtime.block_on(wrote)??;
    let _to = runtime.block_on(heard)??;
    Ok(Lone { there: Samples::of(&there), back: Samples::of(&back), ..Lone::default() })
}

/// All couples at once, `count` messages each, with a window of them under way. They are given back.
///
/// # Errors
/// Where one doesn't come.
pub fn burst(
    runtime: &Runtime,
    nodes: &Nodes,
    couples: Vec<Couple>,
    count: usize,
) -> Result<(Burst, Vec<Couple>), Fault> {
    let meter = Meter::start(nodes)?;
    let messages = couples.len() * count;
    let begin = |Couple { from, to }: Couple| {
        let theirs = to.address.clone();
        (from.there(|from| async move { write(from, &theirs, count).await }), to.there(|to| hear(to, count)))
    };
    let under_way: Vec<_> = couples.into_iter().map(begin).collect();
    let end = |(wrote, heard)| {
        runtime.block_on(async { Ok(Couple { from: joined(wrote).await?, to: joined(heard).await? }) })
    };
    let couples = under_way.into_iter().map(end).collect::<Result<Vec<_>, Fault>>()?;
    Ok((meter.stop(nodes, meter.began.elapsed(), messages)?, couples))
}

async fn joined(task: JoinHandle<Result<Talker, Fault>>) -> Result<Talker, Fault> {
    task.await?
}

async fn write(mut from: Talker, theirs: &Address, count: usize) -> Result<Talker, Fault> {
    let mut under_way = 0;
    for _ in 0..count {
        if under_way == WINDOW {
            from.delivered().await?;
            under_way -= 1;
        }
        from.write(theirs, BODY).await?;
        under_way += 1;
    }
    for _ in 0..under_way {
        from.delivered().await?;
    }
    Ok(from)
}

async fn hear(mut to: Talker, count: usize) -> Result<Talker, Fault> {
    for _ in 0..count {
        to.hears().await?;
    }
    Ok(to)
}
