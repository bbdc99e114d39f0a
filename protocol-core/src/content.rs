//! What people say, as plain data: mail, as it arrives and as it waits; and the content of sealed conversations.
//!
//! Content is MIMI content (draft-ietf-mimi-content-08). Here stands what it is; its bytes, and the name that they give it,
//! are in [`wire::content`](../wire/content/index.html). Spec: `spec/11-content.md`.
//!
//! ```text
//!   make ──▶ Fields ──wire──▶ Content = Fields + bytes ──▶ sealed ─ … ─▶ opened ──wire──▶ Content ──kind──▶ Kind
//!              │
//!              ├─ replaces, topic, expires, in_reply_to          (message)
//!              ├─ extensions: seen, edit_no, prev, any other      (extension, item)
//!              └─ body: Part ── nothing │ bytes │ kept elsewhere │ parts   (part, external, preview)
//! ```

pub mod evidence;
pub mod extension;
pub mod external;
pub mod file_name;
pub mod item;
pub mod kind;
pub mod mail;
pub mod make;
pub mod markdown;
pub mod message;
pub mod part;
pub mod place;
pub mod preview;
pub mod refusal;
pub mod report;
pub mod text;
pub mod uri;

pub use extension::Extensions;
pub use kind::Kind;
pub use message::{Expiry, Fields, Topic};
pub use part::{Body, Disposition, Multi, Part, Semantics};
pub use refusal::ContentFault;

/// The content version of what stands here: draft-ietf-mimi-content-08, with our extensions. It stands beside a content in
/// what carries it, never within: another draft is another version ([M-1]).
pub const VERSION: u64 = 1;
