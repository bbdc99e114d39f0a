//! Every bound, in one table. The same numbers stand in `spec/05-limits.md`; each is tested at it, above it, and far above.
//!
//! Units are in the names. Nothing that a stranger can make grow is without a line here (P6).

use crate::time::{DAY, HOUR, MINUTE, SECOND};

// Names
/// Longest domain, in bytes (RFC 1035).
pub const DOMAIN_BYTES: usize = 253;
/// Longest local part, in bytes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES: usize = 64;

// Mail as it arrives
/// Largest mail, in bytes, dots unstuffed.
pub const MAIL_BYTES: u64 = 25 * 1024 * 1024;
/// Largest body that commits as a row in its step's own transaction; larger ones are files synced before it.
pub const INLINE_BODY_BYTES: u64 = 64 * 1024;
/// Most header fields of a canonical mail.
pub const HEADER_FIELDS: usize = 256;
/// Longest header field of a canonical mail, in bytes, folds included.
pub const HEADER_FIELD_BYTES: usize = 16 * 1024;
/// Longest header section of a canonical mail, in bytes.
pub const HEADER_BYTES: usize = 256 * 1024;
/// Most parts of a canonical mail.
pub const MIME_PARTS: usize = 256;
/// Deepest nesting of a canonical mail.
pub const MIME_DEPTH: usize = 8;
/// Most parameters of one structured header field.
pub const MIME_PARAMETERS: usize = 32;
/// Most addresses in the address fields of a canonical mail.
pub const HEADER_ADDRESSES: usize = 1_000;
/// Most message ids that References and In-Reply-To may hold; older ones (the front of References) are passed over.
pub const REFERENCES: usize = 64;
/// Longest message id, in bytes, angle brackets not counted.
pub const MESSAGE_ID_BYTES: usize = 250;
/// Most of a failed mail's header that a report quotes, in bytes.
pub const REPORT_HEADER_BYTES: usize = 16 * 1024;
/// Most of a peer's last answer that a report quotes for one recipient, in bytes.
pub const REPORT_REASON_BYTES: usize = 512;
/// Longest name that is suggested for an attachment's file, in bytes.
pub const FILE_NAME_BYTES: usize = 200;
/// Longest display name that is shown, in characters.
pub const DISPLAY_NAME_CHARS: usize = 128;
/// Most recipients of one mail envelope (RFC 5321 §4.5.3.1.8 asks for at least 100).
pub const ENVELOPE_RECIPIENTS: usize = 100;
/// Most fields that we put on top of a mail.
pub const STAMP_LINES: usize = 16;
/// Most `Received` fields before a mail counts as looping (RFC 5321 §6.3).
pub const HOPS: usize = 50;

// Trust
/// Longest body of a `Postline-*` field, in bytes, white space not counted.
pub const FIELD_BYTES: usize = 512;
/// Most tags in a `Postline-*` field.
pub const FIELD_TAGS: usize = 16;
/// Longest `h=` hint, in bytes: with it, every field of ours stays within [`FIELD_BYTES`].
pub const HINT_BYTES: usize = 170;
/// Most To ∪ Cc addresses of a mail that gets offers, or that counts as a reply.
pub const OFFER_RECIPIENTS: usize = 20;
/// How long an offer stands, as we write it.
pub const OFFER_TTL_DAYS: u64 = 90;
/// The longest `x` that is believed, in days.
pub const OFFER_TTL_DAYS_MAX: u64 = 365;
/// How far in the future a field's `t` may lie.
pub const CLOCK_SKEW_MS: u64 = 24 * HOUR;
/// Most own offers that stand to one correspondent; the oldest goes first.
pub const OFFERS_PER_PAIR: usize = 8;
/// Most foreign offers held from one correspondent; the oldest goes first.
pub const HELD_PER_PAIR: usize = 4;
/// Most strangers whose offers one user holds; the oldest goes first.
pub const STRANGERS_PER_USER: usize = 256;
/// Most strangers of one domain whose offers one user holds; the oldest goes first.
pub const STRANGERS_PER_DOMAIN: usize = 32;
/// Most strangers whose offers a node holds in all; the oldest of the same user goes first, else the offer is not held.
pub const STRANGERS_IN_ALL: u64 = 100_000;
/// How long Accepting and Confirming last before they fall back.
pub const CONFIRM_MS: u64 = 7 * DAY;
/// How long the accepter leaves dialling to the offerer.
pub const ACCEPTER_DIALS_AFTER_MS: u64 = 30 * SECOND;
/// How long evidence is asked for again after temporary failures.
pub const EVIDENCE_RETRY_MS: u64 = 24 * HOUR;
/// How long the word of a line's domain is taken for granted; then the next mail has it asked again.
pub const DOMAIN_LOOK_MS: u64 = DAY;
/// Shortest time between two changes of one node's key that are followed.
pub const ROTATE_EVERY_MS: u64 = HOUR;
/// Most domains that the operator blocks.
pub const BLOCKED_DOMAINS: usize = 10_000;
/// How often an evidence look-up is tried again after a temporary failure.
pub const EVIDENCE_EVERY_MS: u64 = 15 * MINUTE;

/// Most arrivals that wait for evidence at a time; beyond it an offer or accept is let pass unheeded.
pub const PENDING: usize = 10_000;

// Link
/// Longest frame, type and body, in bytes.
pub const FRAME_BYTES: usize = 64 * 1024;
/// What a stranger can make us hold on one connection before Proof, in bytes, TLS aside: two Hellos and as much unread.
pub const GREETING_BYTES: usize = 4 * 1024;
/// Longest frame before the Ready of its receiver, type and body, in bytes; and longest Hello.
pub const HELLO_BYTES: usize = GREETING_BYTES / 4;
/// Longest body that rides inside its Carry; longer ones go in chunks.
pub const CARRY_INLINE_BYTES: u64 = 16 * 1024;
/// Longest chunk, in bytes.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// How long a connection may take from its first byte to Ready.
pub const GREETING_MS: u64 = 10 * SECOND;
/// How long a dial may take, from the word to Proof.
pub const DIAL_MS: u64 = 30 * SECOND;
/// How long a link that somebody asked for stays wanted, if it can't be had.
pub const WANT_MS: u64 = CONFIRM_MS;
/// Most frames per second on a link that bring nothing forward: pings, unknown types, empty lists, stale answers.
pub const LINK_NOISE_PER_SECOND: u32 = 64;
/// Most frames per second on a link that are bound by no window: marks, questions, whispers and trust steps sixteenfold.
pub const LINK_TALK_PER_SECOND: u32 = 65_536;
/// How long a settled link may be silent before a Ping.
pub const LINK_IDLE_MS: u64 = 60 * SECOND;
/// How long a Ping may stay unanswered.
pub const LINK_PONG_MS: u64 = 20 * SECOND;
/// How long a Carry, its body complete, may stay unsettled before the link counts as stuck.
pub const SETTLE_MS: u64 = 5 * SECOND;
/// Most unsettled Carry frames on a link, each way.
pub const WINDOW_ITEMS: usize = 256;
/// Most unsettled body bytes on a link, each way (one body may exceed it alone).
pub const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Most bodies that are being fetched on one link at a time.
pub const FETCHES: usize = 4;
/// Most ids in one Mark, Ask or Answer.
pub const MARK_IDS: usize = 64;
/// How long a link may take to show that it lives, once its other end has dialled again.
pub const LINK_PROBE_MS: u64 = 2 * SECOND;
/// Shortest wait before a link is dialled again.
pub const REDIAL_MIN_MS: u64 = 250;
/// Longest wait before a link is dialled again.
pub const REDIAL_MAX_MS: u64 = 60 * SECOND;
/// Shortest time between dials to a node whose NK was never proven.
pub const UNPROVEN_DIAL_MS: u64 = MINUTE;
/// Most connections that wait for Proof, in all; the oldest goes first.
pub const GREETINGS: usize = 512;
/// Most connections of one remote address that wait for Ready.
pub const GREETINGS_PER_IP: usize = 16;
/// Most connections of one remote address that begin per minute.
pub const ACCEPTS_PER_MINUTE: u32 = 240;
/// How long a write on a link may take, in milliseconds, before the other end counts as stuck.
pub const LINK_WRITE_MS: u64 = 20 * SECOND;
/// Most frames that wait to be written on one connection; beyond it the other end counts as stuck.
pub const LINK_UNWRITTEN: usize = 8_192;
/// Most links a node keeps.
pub const LINKS: usize = 10_000;
/// Express mails that one trusted address may send to one of ours, per minute.
pub const EXPRESS_PER_MINUTE: u32 = 6_000;
/// Sequence numbers reserved ahead, so that a crash never uses one twice.
pub const SEQ_RESERVE: u64 = 1_024;

// Discovery
/// Longest well-known document that is read, in bytes.
pub const WELL_KNOWN_BYTES: usize = 16 * 1024;
/// How long one fetch of a well-known document may take, from the name to its last byte.
pub const WELL_KNOWN_MS: u64 = 10 * SECOND;
/// Most addresses of a domain at which its well-known document is asked for.
pub const WELL_KNOWN_ADDRESSES: usize = 4;
/// How long a well-known document, or that there is none, is kept before it is fetched again.
pub const WELL_KNOWN_KEPT_MS: u64 = 5 * MINUTE;
/// How long a failed fetch of a well-known document is kept before another one.
pub const WELL_KNOWN_FAILED_MS: u64 = MINUTE;
/// Most domains whose well-known document is kept; the oldest goes first.
pub const WELL_KNOWN_DOMAINS: usize = 1_024;
/// Most fetches of well-known documents under way at a time; another waits its turn within its own time.
pub const WELL_KNOWN_FETCHES: usize = 32;
/// How long it may take to find out where a node is dialled, all look-ups together.
pub const DISCOVERY_MS: u64 = 2 * WELL_KNOWN_MS;
/// Most hosts whose addresses are looked up for one dial.
pub const DIAL_HOSTS: usize = 4;
/// Most addresses that are tried in one dial, at most half of them of one host.
pub const DIAL_ADDRESSES: usize = 8;
/// When the next address of a dial is tried, counted from the one before, whatever became of that.
pub const DIAL_STAGGER_MS: u64 = SECOND / 2;

// DNS, DKIM, SMTP out
/// Most records that one DNS look-up yields; the rest is passed over.
pub const DNS_RECORDS: usize = 16;
/// Longest TXT record that is read, in bytes.
pub const DNS_TEXT_BYTES: usize = 4_096;
/// How long one DNS look-up may take, all tries together.
pub const DNS_MS: u64 = 10 * SECOND;
/// Most DKIM signatures of one mail that are evaluated, those of the From domain first.
pub const DKIM_SIGNATURES: usize = 5;
/// Most field names in the `h=` of a DKIM signature that is evaluated.
pub const DKIM_NAMES: usize = 128;
/// Longest SMTP reply of a server that we hand a mail to, in bytes, all its lines together.
pub const SMTP_REPLY_BYTES: usize = 4_096;
/// Longest text of a failure that is kept and shown, in bytes.
pub const FAILURE_TEXT_BYTES: usize = 512;

// Queue
/// Most mails that wait on a node in all; then submission gets 452.
pub const QUEUE_ENTRIES: usize = 50_000;
/// Most mails that wait for one lane; then submission gets 452.
pub const QUEUE_ENTRIES_PER_LANE: usize = 10_000;
/// How long a link may leave an express mail unsettled before it goes by SMTP.
pub const FALLBACK_MS: u64 = 60 * SECOND;
/// First wait after a temporary SMTP failure.
pub const RETRY_MIN_MS: u64 = MINUTE;
/// Longest wait after a temporary SMTP failure.
pub const RETRY_MAX_MS: u64 = 4 * HOUR;
/// How long a mail is tried before its author gets a report (RFC 5321 §4.5.4.1 asks for 4 to 5 days).
pub const QUEUE_EXPIRY_MS: u64 = 5 * DAY;
/// How long an acked express mail waits for its `delivered`, and how long an arrival's id is remembered.
pub const SEEN_MS: u64 = 8 * DAY;
/// First wait after a mailbox could not take a mail.
pub const MAILBOX_RETRY_MIN_MS: u64 = SECOND;
/// Longest wait after a mailbox could not take a mail.
pub const MAILBOX_RETRY_MAX_MS: u64 = 5 * MINUTE;
/// Most deliveries into one mailbox under way at a time.
pub const MAILBOX_SENDS: usize = 1_024;
/// Most SMTP deliveries of one lane under way at a time.
pub const LANE_SENDS: usize = 4;
/// Most SMTP deliveries under way in all.
pub const SENDS: usize = 64;
/// Most deadlines that one Wake handles.
pub const WAKE_BATCH: usize = 256;
/// A wall clock that jumps further than this needs the operator's word before anything expires.
pub const CLOCK_JUMP_MS: u64 = HOUR;
/// Automatic answers to one peer, of one kind, per day (RFC 3834 §2).
pub const AUTOMATIC_PER_DAY: u32 = 1;

// Beside another mail server
/// How long after it was stamped a mail may come back for the link: as long as mail servers keep trying.
pub const RELAY_MS: u64 = QUEUE_EXPIRY_MS;
/// Most LMTP sessions, and most milter sessions, of the mail server beside us.
pub const BESIDE_SESSIONS: usize = 256;
/// Longest milter packet, in bytes: libmilter's own bound of a body chunk is 65535, and a long header field comes whole.
pub const MILTER_PACKET_BYTES: usize = 1024 * 1024;
/// How long a milter client may take for its next packet.
pub const MILTER_IDLE_MS: u64 = 2 * HOUR;
/// How long the node may think about one mail of a milter client before it lets it pass unstamped.
pub const MILTER_ANSWER_MS: u64 = 5 * SECOND;
/// Longest body of a mail that a milter client brings and that answers what came sealed, in bytes: with more it is refused.
pub const MILTER_REPLY_BYTES: usize = 256 * 1024;
/// How long such a mail may take to be sealed; then it may come again. Less than mail servers wait for us.
pub const MILTER_SEAL_MS: u64 = 20 * SECOND;
/// How long handing a mail on to the server beside us may take in all; then it is tried later.
pub const PASS_ON_MS: u64 = 5 * MINUTE;
/// Most deliveries by LMTP under way at a time.
pub const LMTP_SENDS: usize = 32;

// Store
/// Longest name of a local mailbox, in bytes: a directory's, and where users are Dovecot's, with their domain.
pub const MAILBOX_NAME_BYTES: usize = 255;
/// Most bytes of bodies that came in part and wait for their link to come back; the oldest goes first.
pub const PARTIAL_BYTES: u64 = 1024 * 1024 * 1024;
/// How long a body that came in part is kept.
pub const PARTIAL_MS: u64 = DAY;
/// How long `postline trace` remembers.
pub const TRACE_MS: u64 = 30 * DAY;
/// Most lines that `postline trace` remembers; the oldest go first.
pub const TRACE_LINES: u64 = 2_000_000;
/// Longest trace line, in bytes; what is longer is cut.
pub const TRACE_LINE_BYTES: usize = 4 * 1024;
/// Most trace lines of one answer.
pub const TRACE_SHOWN: usize = 1_000;
/// Longest question to the index of what is said, in bytes.
pub const SEARCH_BYTES: usize = 1_024;
/// Most words, phrases and beginnings of words of one question.
pub const SEARCH_WORDS: usize = 16;
/// Shortest beginning of a word that is looked for, in characters.
pub const SEARCH_BEGINNING: usize = 2;
/// Most messages of one answer.
pub const SEARCH_FOUND: usize = 256;
/// Most entries among which one question looks; what lies further back is left, and said so.
pub const SEARCH_ENTRIES: u64 = 1024 * 1024;
/// How long what was taken back may stay in the write-ahead log of a device's store, unless something reads there.
pub const SEARCH_CUT_MS: u64 = SECOND;
/// How long a damaged record is kept aside for the operator.
pub const QUARANTINE_MS: u64 = 30 * DAY;
/// How old a file in a Maildir's `tmp` must be before it counts as debris.
pub const MAILDIR_TMP_MS: u64 = 36 * HOUR;

// SMTP sessions
/// Longest command line, CRLF included (RFC 5321 §4.5.3.1.4, with room for SMTPUTF8 and SIZE parameters).
pub const SMTP_LINE_BYTES: usize = 2_048;
/// How long an SMTP client may take for its next command.
pub const SMTP_COMMAND_MS: u64 = 5 * MINUTE;
/// Least rate of a mail's data, in bytes per second, averaged over a minute.
pub const SMTP_DATA_BYTES_PER_SECOND: u64 = 64;
/// Most bad commands of one SMTP session.
pub const SMTP_ERRORS: u32 = 10;
/// Most failed logins of one SMTP session.
pub const SMTP_LOGINS: u32 = 3;
/// Most SMTP sessions of one remote address.
pub const SMTP_SESSIONS_PER_IP: usize = 32;
/// Most SMTP sessions in all.
pub const SMTP_SESSIONS: usize = 1_024;
/// Most mails of one SMTP session.
pub const SMTP_MAILS_PER_SESSION: u32 = 10_000;
/// Most bytes taken from an SMTP client at once while a mail's data comes.
pub const SMTP_READ_BYTES: usize = 16 * 1024;
/// Most bytes that an SMTP session keeps of what a client sent ahead of an answer.
pub const SMTP_BACKLOG_BYTES: usize = 64 * 1024;
/// Most commands of one SMTP session between one mail taken and the next (a full mail envelope needs some hundred).
pub const SMTP_COMMANDS: u32 = 1_000;
/// How long an SMTP session may last without bringing a mail.
pub const SMTP_FRUITLESS_MS: u64 = 30 * MINUTE;
/// How long a TLS handshake of an SMTP client may take.
pub const SMTP_TLS_MS: u64 = 30 * SECOND;
/// How long an SMTP client may leave our replies unread.
pub const SMTP_WRITE_MS: u64 = MINUTE;
/// How long a node that goes down waits for mails whose data is under way.
pub const SMTP_DRAIN_MS: u64 = 30 * SECOND;

// HTTP pages
/// Most connections to a listener of pages at a time.
pub const HTTP_CONNECTIONS: usize = 64;
/// Most of them from one IPv4 address or IPv6 /64, where everybody may connect.
pub const HTTP_CONNECTIONS_PER_IP: usize = 8;
/// Most bytes of a request's head, and of what is buffered of it.
pub const HTTP_HEAD_BYTES: usize = 16 * 1024;

// Beside Dovecot
/// Longest line of Dovecot's dict protocol, in bytes (Dovecot's own bound).
pub const DICT_LINE_BYTES: usize = 64 * 1024;
/// Most connections of Dovecot's dict protocol; more wait.
pub const DICT_CONNECTIONS: usize = 512;
/// How long a connection of Dovecot's dict protocol may be silent, or leave replies unread.
pub const DICT_IDLE_MS: u64 = 30 * SECOND;
/// How long the node may take to answer Dovecot's dict protocol; then Dovecot hears a failure.
pub const DICT_ANSWER_MS: u64 = 5 * SECOND;
/// Most transactions that are open on one connection of Dovecot's dict protocol.
pub const DICT_TRANSACTIONS: usize = 16;
/// Most changes of one transaction of Dovecot's dict protocol.
pub const DICT_CHANGES: usize = 64;
/// Longest key of Dovecot's dict protocol that is one of ours, in bytes.
pub const DICT_KEY_BYTES: usize = 1_024;
/// Longest value that a mail program, or Dovecot, may set, in bytes.
pub const DICT_VALUE_BYTES: usize = 8 * 1024;
/// Longest value that a mail program reads, in bytes; what doesn't fit is left out, and said so.
pub const DICT_ANSWER_BYTES: usize = 32 * 1024;
/// Most keys of one iteration.
pub const DICT_ROWS: usize = 256;
/// Most trust records that are looked at for one user's list.
pub const DICT_SCAN: usize = 20_000;
/// Most addresses of one user that a block is for.
pub const DICT_ADDRESSES: usize = 32;
/// Most look-ups for Dovecot that read the store at a time.
pub const DICT_READS: usize = 4;
/// Most pairs of one user that are blocked, for another to be blocked by an annotation.
pub const DICT_BLOCKED: usize = 1_000;
/// Most events of one report from a mailbox.
pub const EVENT_LINES: usize = 64;
/// Most reports from mailboxes that wait to be looked at; what comes then is dropped, and counted.
pub const EVENTS_WAITING: usize = 1_024;
/// Most of those reports of one user.
pub const EVENTS_WAITING_PER_USER: usize = 64;
/// Most trace lines of one kind that one user's mailboxes add to one mail.
pub const EVENTS_PER_MAIL: usize = 8;
/// Longest line of Dovecot's authentication protocol, in bytes (Dovecot's own bound).
pub const AUTH_LINE_BYTES: usize = 16 * 1024;
/// How long Dovecot may take to check a login, the wait that it puts on wrong passwords included.
pub const AUTH_MS: u64 = 30 * SECOND;
/// Most logins that Dovecot checks at a time; then the next one hears "try again".
pub const AUTH_CHECKS: usize = 128;

// Doors of devices
/// Most logins from one neighbourhood that may fail within [`LOGIN_FAILURES_MS`], at doors of devices.
pub const LOGIN_FAILURES_PER_IP: u32 = 20;
/// Most logins under one name that may fail within [`LOGIN_FAILURES_MS`], wherever they come from.
pub const LOGIN_FAILURES_PER_USER: u32 = 60;
/// The time in which failures of logins are counted.
pub const LOGIN_FAILURES_MS: u64 = 10 * MINUTE;
/// Most bytes that wait to be written to one device; beyond it the device counts as stuck.
pub const SESSION_UNWRITTEN_BYTES: usize = 8_208 * 1024;
/// Most bytes that are read from a device at once.
pub const SESSION_READ_BYTES: usize = 4 * 1024;

// Sealed conversations
/// Most heads of logs that one signature covers.
pub const HEADS: usize = 64;
/// Longest user name that a device may enrol with, in bytes.
pub const LOGIN_BYTES: usize = 320;
/// Longest password that a device may enrol with, in bytes.
pub const PASSWORD_BYTES: usize = 1_024;
/// Longest event, in bytes: a sealed message, or a commit with its Welcome and public state.
pub const EVENT_BYTES: usize = 60 * 1024;
/// Longest message before it is padded and sealed, in bytes; what is longer goes as an attachment.
pub const MESSAGE_BYTES: usize = 16 * 1024;
/// Most devices of one person.
pub const DEVICES: usize = 16;

/// Most devices that a node runs for people who have only a mail program.
pub const HOSTED: usize = 256;
/// Longest device list, in bytes, its signature included.
pub const LIST_BYTES: usize = 4 * 1024;
/// Most device lists of one person that are kept: with more, the person starts anew.
pub const LISTS: u64 = 1_024;
/// Most device lists in one answer.
pub const LISTS_PER_ANSWER: usize = 12;
/// Most revoked devices that a device list names: with more, the person starts anew.
pub const REVOKED: usize = 48;
/// Longest name of a device, in bytes.
pub const DEVICE_NAME_BYTES: usize = 32;
/// Most keys that one person has one after the other: with more, the person starts anew.
pub const ADDRESS_KEYS: usize = 32;
/// Of how many of a person's newest device lists the hash is remembered, to tell another one of the same number.
pub const LIST_HASHES: usize = 32;
/// Longest key proof, in bytes, its signature included.
pub const PROOF_BYTES: usize = 1_024;
/// Longest leaf credential, in bytes, its signature included.
pub const LEAF_BYTES: usize = 768;
/// How long a code of one's own, shown to another person or to another device of one's own, is good.
pub const CODE_MS: u64 = 10 * MINUTE;
/// How long a code that was typed waits for the device that shows it, whose request may still be on its way.
pub const CODE_WAIT_MS: u64 = MINUTE;
/// Most tries to compare codes with one person, or to let one new device in, per [`CODE_TRIES_MS`].
pub const CODE_TRIES: u32 = 10;
/// For so long a try counts.
pub const CODE_TRIES_MS: u64 = DAY;
/// Longest text of a QR picture, in bytes.
pub const QR_BYTES: usize = 2 * 1024;
/// Longest request of a new device to join, in bytes.
pub const JOIN_BYTES: usize = 1_024;
/// Most keys of others in one backup.
pub const BACKUP_PINS: usize = 4_096;
/// Longest backup, in bytes.
pub const BACKUP_BYTES: usize = 2 * 1024 * 1024;
/// Most memory that a backup may ask for to be opened, in KiB.
pub const BACKUP_KIB: u32 = 128 * 1024;
/// Most passes over that memory that a backup may ask for.
pub const BACKUP_PASSES: u32 = 8;
/// Longest key package, in bytes.
pub const PACKAGE_BYTES: usize = 2 * 1024;
/// Most key packages of one device that wait to be used.
pub const PACKAGES: usize = 32;
/// Longest note between devices of one person, in bytes.
pub const NOTE_BYTES: usize = 16 * 1024;
/// Most notes that wait for the devices of one person.
pub const NOTES: usize = 64;
/// Most of them of one device that is on no list of the person; its oldest goes first.
pub const NOTES_UNLISTED: usize = 4;
/// How long a note waits.
pub const NOTE_MS: u64 = 7 * DAY;
/// Most memos of one device that wait for the person's others, the newest of each drawer: beside the notes, and told one by one.
pub const MEMO_DRAWERS: usize = 18;
/// Longest memo before it is padded and sealed, in bytes.
pub const MEMO_BYTES: usize = 14 * 1024;
/// How long a memo waits for a device that is away.
pub const MEMO_MS: u64 = 400 * DAY;
/// Most members of one conversation that are named in its Create.
pub const MEMBERS: usize = 64;
/// Most entries that one question asks for again.
pub const RANGE: u64 = 1_024;
/// Most lines of one address.
pub const LINES: usize = 4_096;
/// Most conversations of one address.
pub const TALKS: usize = 4_096;
/// Most devices in one group: those of most members that a Create names, as many as each may have.
pub const LEAVES: usize = MEMBERS * DEVICES;
/// How long a key package is good, in milliseconds; clocks may differ by a day.
pub const PACKAGE_MS: u64 = 90 * DAY;
/// How many generations of its own key a device reserves ahead, in one record.
pub const RESERVE: u32 = 64;
/// Most messages that a group's stored state may lag behind: what a crash forgets having opened.
pub const SNAPSHOT_LAG: u32 = 64;
/// From which generation on a device's key of one epoch is used up.
pub const GENERATIONS: u32 = 2_000_000_000;
/// Most messages of one device that may be left out before one that is opened.
pub const SKIPPED: u32 = 1_000;
/// Most keys of one epoch that wait for messages that were left out; the oldest are given up.
pub const WAITING_KEYS: u64 = 2_000;
/// How many epochs that are over keep their keys.
pub const OLD_EPOCHS: usize = 5;
/// For how long they keep them.
pub const OLD_EPOCH_MS: u64 = 7 * DAY;

// Devices
/// By how much the number of a device's post is above the one before, at most: it is drawn, so that copies draw others.
pub const NUMBER_GAP: u64 = 256;
/// Most that a device says and its conversations' logs don't have yet.
pub const DRAFTS: usize = 1_024;
/// Most entries of one conversation that a device keeps before their turn.
pub const AHEAD: usize = 1_024;
/// Most entries of one conversation that didn't open and may come again.
pub const UNOPENED: usize = 64;
/// How many of a log's newest hashes a device remembers, to compare what others saw.
pub const CHAIN_HASHES: usize = 64;
/// Most entries that one mark is said of; older ones are marked by it without a word.
pub const MARKED: u64 = 1_024;
/// Most entries of a conversation that one device tells another of, the newest.
pub const HISTORY: u64 = 10_000;
/// What an entry takes beside its body when it is told.
pub const HISTORY_EVENT_BYTES: usize = 512;
/// Most events that one device shares with another in one message.
pub const HISTORY_EVENTS: usize = 64;
/// Most people that a device tells a new one of.
pub const GRANT_PINS: usize = 64;
/// How much a device does in one step, be it entries, marks, or posts.
pub const CLIENT_BATCH: usize = 64;
/// For how many conversations a device's wake brings records.
pub const CLIENT_TALKS: usize = 8;
/// How many entries a device takes before it says so.
pub const ACK_EVERY: u64 = 32;
/// How long it waits with saying so, at most.
pub const ACK_MS: u64 = 250;
/// How long a device waits before it tells what was read: then it is one word for many; doubled by jitter at most.
pub const READ_MS: u64 = SECOND;
/// How long the first device of a conversation lets others go first with a change of members; the next ones wait as much more.
pub const TURN_MS: u64 = SECOND;
/// How long a device waits for others to add it, before it comes in from outside.
pub const OUTSIDE_MS: u64 = 10 * SECOND;
/// How long a device waits before it asks its node again for what wasn't there.
pub const ASK_AGAIN_MS: u64 = 30 * SECOND;
/// How long the log of a conversation waits for the device lists that a change names, before it goes on without the change.
pub const LISTS_WAIT_MS: u64 = 10 * MINUTE;
/// How long a device waits before it posts again what there was no room for.
pub const BUSY_MS: u64 = 5 * SECOND;
/// How long a device waits before it posts again what a node refused that didn't know its list yet, at first; doubled each time.
pub const UNLISTED_MS: u64 = 2 * SECOND;
/// How often that is doubled, at most.
pub const UNLISTED_TRIES: u32 = 6;
/// How long a device waits before it dials again, at first; doubled each time.
pub const REDIAL_MS: u64 = 500;
/// How often that is doubled, at most.
pub const REDIALS: u32 = 7;
/// After how long a device renews its keys in a conversation.
pub const RENEW_MS: u64 = 7 * DAY;
/// How many key packages of a device wait at its node.
pub const STOCK: u64 = 16;
/// At how few of them it gives more.
pub const STOCK_LOW: u64 = 8;
/// After how long all of them are made anew.
pub const STOCK_MS: u64 = 7 * DAY;
/// How often in an hour a device says of one conversation that it can't open something.
pub const REPORTS: u32 = 32;
/// How often in an hour a device says something again because another couldn't open it.
pub const REPAIRS: u32 = 32;

// What people see
/// Most messages that one screen shows.
pub const SCREEN: usize = 64;
/// So many entries are looked through for messages at once, to note their places in pages: a page is written once for all.
pub const PAGED_AT_ONCE: u64 = 64;
/// So many entries are looked through at once for a snapshot.
pub const SNAPSHOT_AT_ONCE: u64 = 64;
/// How often a snapshot begins anew, where what it has written of changed meanwhile.
pub const SNAPSHOT_ANEW: u32 = 16;
/// Most messages of a conversation that are pinned at a time; further pins wait for room, alike for everybody.
pub const PINS: usize = 32;
/// Most messages of a conversation of which it is known whether they are pinned: those about which something was said last.
pub const PINS_KNOWN: usize = 128;

// Content
/// Longest content, in bytes: what is said around it within the seal takes the rest.
pub const CONTENT_BYTES: usize = 15 * 1024;
/// Longest preview of what is kept elsewhere, in bytes: there is room for words beside it.
pub const PREVIEW_BYTES: usize = 10 * 1024;
/// Most levels of parts within one another, the outermost being the first.
pub const CONTENT_LEVELS: usize = 4;
/// Most parts of one content, those that hold others counted too.
pub const CONTENT_PARTS: usize = 1_024;
/// Longest name of a thread, in bytes.
pub const TOPIC_BYTES: usize = 4_096;
/// Longest media type of a part, in bytes, parameters included.
pub const MEDIA_TYPE_BYTES: usize = 256;
/// Longest list of language tags of a part, in bytes.
pub const LANGUAGE_BYTES: usize = 256;
/// Longest URI in a content, in bytes.
pub const URI_BYTES: usize = 2_048;
/// Longest key, nonce or hash of what is kept elsewhere, in bytes.
pub const PART_KEY_BYTES: usize = 64;
/// Longest additional authenticated data of what is kept elsewhere, in bytes.
pub const PART_AAD_BYTES: usize = 256;
/// Longest description of what is kept elsewhere, in bytes.
pub const DESCRIPTION_BYTES: usize = 1_024;
/// Longest name that an author gives a file, in bytes, as it came.
pub const CLAIMED_NAME_BYTES: usize = 255;
/// Most extensions of one content, ours and those that the chapter names aside.
pub const EXTENSIONS: usize = 32;
/// Longest name of an extension, in bytes.
pub const EXTENSION_NAME_BYTES: usize = 255;
/// Most levels of maps, arrays and tags in the extensions, their own map being the first.
pub const EXTENSION_LEVELS: usize = 4;
/// Most contents that one content says its author had seen last.
pub const SEEN: usize = 4;
/// Most signs of one reaction; further ones are not shown.
pub const SIGNS: usize = 16;
/// Most people that one text is taken to mention; further ones are not told.
pub const MENTIONS: usize = 64;
/// Most contents of which one report says what became of them.
pub const STATUSES: usize = 256;
/// The longest that a content may last after it was read; one that lasts longer has no end.
pub const EXPIRY_MS: u64 = 366 * DAY;
/// From when on the end of a content counts, in milliseconds since 1970: an earlier one is of a clock that was never set.
pub const EXPIRY_FROM_MS: u64 = 1_735_689_600_000;
/// How long an author's devices wait to hear that what ends after reading was read, before it counts as read there.
pub const UNTOLD_MS: u64 = 7 * DAY;
/// Most entries in one record of those that end at one time; further ones have further records.
pub const MOMENT: usize = 64;

// Attachments
/// Longest attachment, in bytes, as it is sealed.
pub const ATTACHMENT_BYTES: u64 = 256 * 1024 * 1024;
/// Longest piece of a file that is sealed by itself, in bytes: all of a file's are so long, the last one aside.
pub const ATTACHMENT_CHUNK_BYTES: usize = 64 * 1024;

/// Longest piece of a file on its way, in bytes.
pub const FILE_PIECE_BYTES: usize = 48 * 1024;
/// After so many bytes of a file who sends it, or waits for it, hears how far it is.
pub const FILE_TOLD_BYTES: u64 = 1024 * 1024;
/// Most files on their way from a device, to it, and for it from other nodes, at a time.
pub const FILE_TRANSFERS: usize = 4;
/// Most files on their way over a link at a time, each way.
pub const FILE_FETCHES: usize = 8;
/// How long nothing may come of a file before it is given up.
pub const FILE_WAIT_MS: u64 = MINUTE;
/// Most files of one person that a node keeps.
pub const FILES: usize = 256;
/// Most bytes of them.
pub const FILES_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Most bytes of them that are for, or from, one other person.
pub const FILES_BYTES_PER_PAIR: u64 = 1024 * 1024 * 1024;
/// How long a node keeps a file, from when it was left, or fetched.
pub const FILE_MS: u64 = 30 * DAY;
/// Most files that a device is leaving with its node.
pub const UPLOADS: usize = 64;
/// Most bytes of files that came in part and wait for their connection to come back; the oldest goes first.
pub const FILE_PARTIAL_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Most files that another node is to let go, and hasn't answered; and most of which a device's node is to hear that.
pub const FORGETS: usize = 1_024;
/// Most of which a device says so in a second.
pub const FORGETS_PER_SECOND: usize = 64;
/// Most files of one entry that are let go with its words; the others go when their time is over.
pub const FILES_NAMED: usize = 64;
/// Most entries that are known to name one file; of one that more name it isn't known any more when the last has gone.
pub const NAMES_OF_FILE: usize = 64;

// Sessions
/// How long a session may be silent before a Ping.
pub const SESSION_IDLE_MS: u64 = 4 * MINUTE;
/// Most frames per second of a device; what it publishes, asks and whispers counts sixteenfold.
pub const SESSION_TALK_PER_SECOND: u32 = 8_192;
/// Most posts of a device that have not come back to it.
pub const SESSION_WINDOW_ITEMS: usize = 256;
/// Most bytes of such posts.
pub const SESSION_WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Most sessions of a node.
pub const SESSIONS: usize = 65_536;
/// Most sessions of a node that wait for Ready; the oldest goes first.
pub const SESSION_GREETINGS: usize = 512;
/// Most failed mailbox logins of devices for one address per hour.
pub const DEVICE_LOGINS_PER_ADDRESS: u32 = 20;
/// Most failed mailbox logins of devices in all per hour.
pub const DEVICE_LOGINS: u32 = 2_000;
/// Most addresses of which failed logins are remembered; those nearest to being forgiven go first.
pub const DEVICE_LOGIN_ADDRESSES: usize = 4_096;
/// How long a question for another node may stay unanswered.
pub const ASK_MS: u64 = 20 * SECOND;
/// Most questions for other nodes under way at a time.
pub const ASKS: usize = 4_096;
/// Most of them of one device.
pub const ASKS_PER_DEVICE: usize = 64;
/// Most answers with key packages of one address to another, per hour.
pub const PACKAGE_ANSWERS_PER_HOUR: u32 = 60;
/// Most answers with a device's key package of last resort, per hour.
pub const LAST_RESORTS_PER_HOUR: u32 = 60;
/// Most of such rates that are remembered; those nearest to being full again go first.
pub const PACKAGE_RATES: usize = 16_384;
/// Most addresses that one mailbox login may speak for.
pub const LOGIN_ADDRESSES: usize = 256;

// Logs
/// Most epochs before the present one of which a hub still takes messages.
pub const EPOCHS: u64 = 5;
/// Most devices that a log remembers for each member of a node; the one that was heard of least lately goes first.
pub const TAGS: usize = 64;
/// Most entries of one conversation on their way to one reader, unacknowledged.
pub const FEED_ITEMS: usize = 256;
/// Most bytes of one conversation on their way to one reader, unacknowledged (one entry may exceed it).
pub const FEED_BYTES: usize = 1024 * 1024;
/// What an entry counts in a window beside its own bytes, in bytes.
pub const EVENT_OVERHEAD: usize = 64;
/// Most entries of one conversation that are kept in memory for readers who have something to come.
pub const RECENT: usize = 1_024;
/// Most bytes of such entries of one conversation.
pub const RECENT_BYTES: usize = 256 * 1024;
/// Most entries that are read back from the store at a time, for a reader who is behind.
pub const READ_BACK: u64 = 16;
/// Most entries on their way over one connection, over all conversations, unacknowledged.
pub const READER_ITEMS: usize = 1_024;
/// Most bytes of such entries (one entry may exceed it).
pub const READER_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of such entries on their way to one device (one entry may exceed it).
pub const DEVICE_READER_BYTES: usize = 512 * 1024;
const _: () = assert!(
    LINES * (PROOF_BYTES + 512) + (NOTES + 1) * NOTE_BYTES + 2 * DEVICE_READER_BYTES <= SESSION_UNWRITTEN_BYTES,
    "a device that comes hears at once of all its lines, notes, a memo and so much of its logs, and isn't stuck for it"
);
/// Most bytes of entries that a node keeps in memory, over all conversations.
pub const ENTRIES_BYTES: usize = 32 * 1024 * 1024;
/// Most conversations that are looked at in one step for somebody who came.
pub const COMERS_BATCH: usize = 128;
/// Most logs with something to save that waits for a commit to ride along with; then it makes its own.
pub const RIDING: usize = 1_024;
/// Most logs that ride along with one commit.
pub const RIDES: usize = 64;
/// Most posts of one device that wait for the way to their hubs.
pub const POSTS_PER_DEVICE: usize = 512;
/// Most posts that wait for the way to their hubs, in all.
pub const POSTS: usize = 65_536;
/// Most bytes of such posts.
pub const POSTS_BYTES: usize = 64 * 1024 * 1024;
/// Most posts that are said to one hub and not answered.
pub const POSTS_SAID: usize = 1_024;
/// How long entries of a log are kept once everybody here has them.
pub const ENTRY_MS: u64 = 30 * DAY;
/// How long an entry is kept at most, whoever still lacks it.
pub const ENTRY_LONGEST_MS: u64 = 400 * DAY;
/// Most entries of one conversation that are dropped with one commit.
pub const DROPS: u64 = 64;
/// Most entries of its own people that a node leaves unacknowledged while nobody waits for it.
pub const HAVE_LATER: u64 = 64;
/// How often a node hears of signed heads of a log in which its people wrote nothing since.
pub const HEADS_MS: u64 = 10 * SECOND;
/// Most entries of a log that are said to a node before it hears of a signed head.
pub const HEADS_ENTRIES: u64 = 64;

// What people say
/// The greatest number of an edit: more often nobody says the same thing otherwise.
pub const EDIT_NO: u32 = 1_000;
/// Most versions of a message that are kept beside its first; the lowest go first.
pub const EDITS: usize = 32;
/// Most entries of the log between a message and an edit of it.
pub const EDIT_SPAN: u64 = 100_000;
/// Most people whose edits and retracts of a message that hasn't come are kept.
pub const CLAIMANTS: usize = 16;
/// Longest sign of a reaction, in bytes.
pub const SIGN_BYTES: usize = 64;
/// Most reactions of one person to one message that are kept, withdrawn ones too; the oldest go first.
pub const REACTIONS: usize = 20;
/// Most withdrawals of one person at one message that are kept; the oldest go first.
pub const WITHDRAWALS: usize = 40;
/// Most people whose reactions to one message are kept.
pub const REACTORS: usize = 1_024;
/// Most entries that wait for a version that they name; the first in the log are kept.
pub const WAITING: usize = 1_024;
/// How far behind what is read whole single entries can be said to be read.
pub const READ_BEYOND: u64 = 256;
/// Most marks of one conversation that a device tells in a minute in envelopes of their own.
pub const READ_TELLS_PER_MINUTE: u32 = 20;
/// Most members of a conversation in which all of them hear who has read what.
pub const MARKS_TO_ALL: usize = 16;
/// Most members of one in which the authors hear it; in a larger one, those who ask.
pub const MARKS_TO_AUTHORS: usize = 256;
/// Most people of one conversation whose marks are kept.
pub const MARK_PEOPLE: usize = 1_024;
/// Most own things of one conversation, not yet in its log or just there, of which it is known how far they are.
pub const MARK_POSTS: usize = 1_024;
/// Most entries of others' that people see, and of which reading wasn't told, that are known one by one.
pub const MARK_NEWS: usize = 256;

// Presence
/// How long a person counts as here after their device has said so; and how long what is known lasts after a connection.
pub const PRESENCE_MS: u64 = 5 * MINUTE;
/// How often a device says again that its person is here.
pub const PRESENCE_RENEW_MS: u64 = 2 * MINUTE;
/// To what the time at which somebody was last here is rounded down.
pub const LAST_SEEN_MS: u64 = 15 * MINUTE;
/// Most pairs with one other node, and most contacts of a device, whose presence is known.
pub const PRESENCE_CONTACTS: usize = 1_024;
/// Most entries and choices of people that a node keeps, with all nodes.
pub const PRESENCES: usize = 131_072;
/// Most changes in one whisper.
pub const PRESENCE_DELTAS: usize = 64;
/// Most whispers of another node that are heard in a second.
pub const WHISPERS_PER_SECOND: u32 = 64;
/// How often somebody is said to be writing in one conversation.
pub const TYPING_EVERY_MS: u64 = 3 * SECOND;
/// How long somebody counts as writing after it was said.
pub const TYPING_MS: u64 = 6 * SECOND;
/// Most members of a conversation in which it is said that somebody writes.
pub const TYPING_MEMBERS: usize = 50;
/// Most people that are known to be writing at a time, at a device or with one other node.
pub const TYPISTS: usize = 64;
