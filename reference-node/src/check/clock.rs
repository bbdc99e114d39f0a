//! The clock, as far as this machine can tell: against the running node, and against what the node last wrote.

use std::time::UNIX_EPOCH;

use postline_core::time::{DAY, HOUR};

use super::{Finding, Scene};

/// A node that rests longer than this is rarer than a clock that is ahead.
const RESTED_DAYS: u64 = 90;

pub(super) fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let next = "set the clock right (NTP), then postline clock accept";
    let jump = match &scene.node {
        Ok(status) if status.clock_held => {
            Finding::failure("clock.jump", "", "the clock jumped: nothing expires until you say that it is right", next)
        }
        Ok(_) => Finding::ok("clock.jump", "", "none"),
        Err(_) => Finding::skipped("clock.jump", "", "the node does not run"),
    };
    vec![jump, past(scene)]
}

/// Files of the store carry the time at which they were written.
fn past(scene: &Scene<'_>) -> Finding {
    let id = "clock.past";
    let store = scene.config.data_dir.join("store");
    let written = |name: &str| std::fs::metadata(store.join(name)).and_then(|meta| meta.modified()).ok();
    let Some(last) = ["postline.db", "postline.db-wal"].into_iter().filter_map(written).max() else {
        return Finding::skipped(id, "", "the node never wrote anything");
    };
    let last = u64::try_from(last.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let next = "set the clock right (NTP) before the node starts: it takes what it finds for the time";
    let (behind, ahead) = (last.saturating_sub(scene.now.0), scene.now.0.saturating_sub(last));
    if behind > HOUR {
        let cause =
            format!("the clock is behind: the store was written {} days later than it is now", behind.div_ceil(DAY));
        Finding::failure(id, "", cause, next)
    } else if ahead > RESTED_DAYS * DAY {
        let cause = format!("the store was last written {} days ago: a long rest, or the clock is ahead", ahead / DAY);
        Finding::warning(id, "", cause, next)
    } else {
        Finding::ok(id, "", "not before what the node last wrote")
    }
}
