//! Seeded bugs: each turns one rule off, so that the simulator can show that it would notice.
//!
//! They exist under the feature `testing` only. Without it [`is_on`] is `false` at compile time, and nothing is left of
//! them in a binary.

/// A rule that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Canary {
    /// A host lets effects go before, and although, the commit fails. Asked by the simulator's host.
    AckBeforePersist,
    /// What was seen before is shown again.
    DedupOff,
    /// An express mail that falls back to SMTP bears no `Postline-Id`.
    FallbackWithoutId,
    /// A `Postline-Id` suppresses a mail whoever signed it, and whatever it vouches for.
    UnsignedCopySuppresses,
    /// Automatic mail takes accepts along, and brings them.
    AutomaticCounts,
    /// Evidence for a node is good, whatever was found out.
    EvidenceNotNeeded,
    /// M2 is taken from any key.
    ConfirmFromAnyKey,
    /// A restart forgets what waits in queues.
    QueueForgotten,
    /// A restart numbers Carry frames from 1 again.
    SeqsUsedAgain,
    /// `Delivered` is said when a mail was taken, before it is in the mailbox.
    DeliveredTooEarly,
    /// Nobody is told of a mail that failed.
    FailureKeptQuiet,
    /// Any key that says it follows a node's is believed, announced or not.
    RotationWithoutAnnouncement,
    /// A sealed message is taken for whatever conversation it says it is for.
    AadWithoutConversation,
    /// A group that is restored seals again with keys that it has used.
    NonceAfterRestore,
    /// A key proof counts for whatever handshake it is over.
    ProofForAnyLine,
    /// A key proof counts whatever device list it names.
    ProofOfAnyList,
    /// Any key may sign a person's next device list.
    AnyKeyFollows,
    /// A device list that is older than the newest known is taken in its place.
    StaleListTaken,
    /// Key packages are taken for the devices of whoever they say, whatever the person's lists say.
    GhostTaken,
    /// Whoever wants to edits and takes back what another has said.
    AnyoneRevises,
    /// What was taken back comes again by an edit.
    EditAfterRetract,
    /// The words of what was taken back stay.
    WordsStay,
    /// Whoever wants to removes what another has said.
    AnyoneRemoves,
    /// The words of what was to be forgotten outlive their time.
    WordsOutlive,
    /// What somebody says that they have read takes the place of what they said before.
    ReceiptRegress,
    /// What people read is told, and taken, as each chooses, whatever the conversation has agreed on.
    PolicyIgnored,
    /// A member's node says `delivered` only while a device of the member's is connected.
    DeliveredWaitsForDevice,
    /// Whether somebody is here is told to whoever has a line with them, whether the other agrees or not.
    ShownToWhoDoesNotAgree,
    /// A file is whole once all its bytes are here, whatever they hash to. Asked by the simulator's hosts.
    FileNotHashed,
}

impl Canary {
    /// Every one.
    pub const ALL: [Self; 29] = [
        Self::AckBeforePersist,
        Self::DedupOff,
        Self::FallbackWithoutId,
        Self::UnsignedCopySuppresses,
        Self::AutomaticCounts,
        Self::EvidenceNotNeeded,
        Self::ConfirmFromAnyKey,
        Self::QueueForgotten,
        Self::SeqsUsedAgain,
        Self::DeliveredTooEarly,
        Self::FailureKeptQuiet,
        Self::RotationWithoutAnnouncement,
        Self::AadWithoutConversation,
        Self::NonceAfterRestore,
        Self::ProofForAnyLine,
        Self::ProofOfAnyList,
        Self::AnyKeyFollows,
        Self::StaleListTaken,
        Self::GhostTaken,
        Self::AnyoneRevises,
        Self::EditAfterRetract,
        Self::WordsStay,
        Self::AnyoneRemoves,
        Self::WordsOutlive,
        Self::ReceiptRegress,
        Self::PolicyIgnored,
        Self::DeliveredWaitsForDevice,
        Self::ShownToWhoDoesNotAgree,
        Self::FileNotHashed,
    ];
}

#[cfg(feature = "testing")]
std::thread_local! {
    static ON: core::cell::Cell<Option<Canary>> = const { core::cell::Cell::new(None) };
}

/// Turns one rule off on this thread; `None` turns them all on again.
#[cfg(feature = "testing")]
pub fn set(canary: Option<Canary>) {
    ON.set(canary);
}

/// Whether a seeded bug is on.
#[cfg(feature = "testing")]
#[must_use]
pub fn is_on(canary: Canary) -> bool {
    ON.get() == Some(canary)
}

/// Whether a seeded bug is on: never, in what is shipped.
#[cfg(not(feature = "testing"))]
#[must_use]
pub const fn is_on(_: Canary) -> bool {
    false
}
