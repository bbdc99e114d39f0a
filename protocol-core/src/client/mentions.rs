//! Whom a message mentions: members of its conversation alone, and as its first version says.
//!
//! An edit changes words, and nobody's being spoken to: whom it names further isn't mentioned, and whoever was stays so
//! (attack 56). Spec: `spec/11-content.md`, `spec/12-revisions.md`.

use super::Client;
use crate::content::markdown::mentions;
use crate::content::part::{Part, Words};
use crate::id::{Address, ConversationId};
use crate::limits;
use crate::wire::content::Content;

impl Client {
    /// The members whom the first version of a message mentions, each once, in its order.
    pub(super) fn mentioned(&self, id: ConversationId, first: &Content) -> Vec<Address> {
        let Some(talk) = self.talks.get(&id) else { return Vec::new() };
        let members = [&self.ours.address, &talk.with];
        let mut found = Vec::new();
        for part in first.fields().body.walk() {
            // Plain text is what it says, and no link.
            let Some(Words::Markdown(text)) = Part::words(part) else { continue };
            for who in mentions(text) {
                let is = |address: &&&Address| self.chain_of(address).is_some_and(|chain| chain.identity() == who);
                let member = members.iter().find(is).map(|address| (*address).clone());
                if let Some(member) = member.filter(|member| !found.contains(member) && found.len() < limits::MENTIONS)
                {
                    found.push(member);
                }
            }
        }
        found
    }
}
