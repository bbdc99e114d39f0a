//! What people see whose devices seal and open: each a whole client with a store of its own, all in this process.

use std::sync::mpsc;
use std::time::Instant;

use tokio::runtime::Runtime;

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

/// Enrols a device of each of the `n`th pair, and has them talk.
///
/// # Errors
/// Where one is refused something.
pub fn meet(runtime: &Runtime, nodes: &Nodes, n: usize) -> Result<Couple, Fault> {
    let mut from = Talker::start(runtime.handle(), nodes.dir(), &writer(n), at(&nodes.a)?, nodes.a.nk()?)?;
    let mut to = Talker::start(runtime.handle(), nodes.dir(), &reader(n), at(&nodes.b)?, nodes.b.nk()?)?;
    runtime.block_on(async {
        from.enrol().await?;
        to.enrol().await?;
        from.keys_of(&to.address.clone()).await?;
        to.keys_of(&from.address.clone()).await?;
        from.write(&to.address, BODY).await?;
        to.hears().await?;
        from.delivered().await.map(drop)
    })?;
    Ok(Couple { from, to })
}

/// Sends `count` messages, each after the mark of the one before.
///
/// # Errors
/// Where one doesn't come.
pub fn lone(runtime: &Runtime, couple: &mut Couple, count: usize) -> Result<Lone, Fault> {
    let Couple { from, to } = couple;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..count {
        runtime.block_on(async {
            let began = Instant::now();
            from.write(&to.address, BODY).await?;
            to.hears().await?;
            there.push(began.elapsed());
            from.delivered().await?;
            back.push(began.elapsed());
            Ok::<_, Fault>(())
        })?;
    }
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
    let (done, finished) = mpsc::channel();
    for Couple { from, to } in couples {
        let theirs = to.address.clone();
        let wrote = runtime.spawn(async move { write(from, &theirs, count).await });
        let heard = runtime.spawn(async move { hear(to, count).await });
        let told = done.clone();
        runtime.spawn(async move {
            let both = async { Ok::<_, Fault>(Couple { from: wrote.await??, to: heard.await?? }) };
            // Nobody listens where the bench has already failed.
            let _ = told.send(both.await);
        });
    }
    drop(done);
    let couples = finished.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((meter.stop(nodes, meter.began.elapsed(), messages)?, couples))
}

async fn write(mut from: Talker, theirs: &postline_core::id::Address, count: usize) -> Result<Talker, Fault> {
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
