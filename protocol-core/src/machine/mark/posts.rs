//! What became of this person's posts, as many as are kept: the least needed one makes room, found without a search.
//!
//! ```text
//!   by id      ContentId ─▶ Post            asked for
//!   by need    (need, ContentId)            first: what goes next; in step with the one above
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Post;
use crate::id::ContentId;
use crate::limits;

/// How much a post is needed: less goes first.
type Need = (u8, u64);

/// At most [`limits::MARK_POSTS`] posts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Posts {
    by_id: BTreeMap<ContentId, Post>,
    by_need: BTreeSet<(Need, ContentId)>,
}

impl Posts {
    pub(super) fn get(&self, id: &ContentId) -> Option<Post> {
        self.by_id.get(id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ContentId, Post)> {
        self.by_id.iter().map(|(id, post)| (*id, *post))
    }

    /// Keeps one, and gives the one that went for it, where there were too many. That may be the same.
    pub(super) fn keep(&mut self, id: ContentId, post: Post) -> Option<Post> {
        if let Some(before) = self.by_id.insert(id, post) {
            self.by_need.remove(&(need(before), id));
        }
        self.by_need.insert((need(post), id));
        if self.by_id.len() <= limits::MARK_POSTS {
            return None;
        }
        self.by_need.pop_first().and_then(|(_, gone)| self.by_id.remove(&gone))
    }
}

impl FromIterator<(ContentId, Post)> for Posts {
    fn from_iter<I: IntoIterator<Item = (ContentId, Post)>>(posts: I) -> Self {
        let mut kept = Self::default();
        for (id, post) in posts {
            kept.keep(id, post);
        }
        kept
    }
}

/// What still waits is kept longest.
const fn need(post: Post) -> Need {
    match post {
        Post::Placed(seq) => (0, seq),
        Post::Expired => (1, 0),
        Post::Failed(_) => (2, 0),
        Post::Queued => (3, 0),
    }
}
