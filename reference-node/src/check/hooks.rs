//! Sockets beside other mail servers: each is connected to, and one harmless thing is said.
//!
//! | socket | said | answered |
//! |---|---|---|
//! | milter | option negotiation, quit | options |
//! | LMTP | LHLO, QUIT | 220, 250 |
//! | SMTP | EHLO, QUIT | 220, 250 |
//! | dict | the greeting, a look-up of our version | a line |
//! | auth | the greeting | VERSION |

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Finding, PROBE};
use crate::beside::Place;
use crate::config::Config;

/// The most that is read of an answer, in bytes.
const ANSWER_BYTES: usize = 4 * 1024;

/// The sockets that are to answer; `None` where the configuration names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Our milter.
    pub milter: Option<Place>,
    /// Our LMTP front for incoming mail.
    pub lmtp_in: Option<Place>,
    /// Our LMTP transport for outgoing mail.
    pub lmtp_out: Option<Place>,
    /// The other mail server's listener that takes mail back.
    pub reinject: Option<Place>,
    /// The mail store's LMTP.
    pub deliver: Option<Place>,
    /// Our dict socket.
    pub dict: Option<Place>,
    /// The mail store's auth socket.
    pub auth: Option<Place>,
}

impl Hooks {
    /// Those that a configuration names.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let beside = config.beside.clone();
        Self {
            milter: beside.milter,
            lmtp_in: beside.lmtp_in,
            lmtp_out: beside.lmtp_out,
            reinject: beside.reinject,
            deliver: beside.deliver,
            dict: config.dovecot.dict.clone().map(Place::Unix),
            auth: config.dovecot.auth.clone().map(Place::Unix),
        }
    }
}

/// What is spoken on a socket.
#[derive(Clone, Copy)]
enum Speech {
    Milter,
    Lmtp,
    Smtp,
    Dict,
    Auth,
}

pub(super) async fn findings(hooks: &Hooks) -> Vec<Finding> {
    let (ours, theirs) =
        ("postline serve; look into its log", "is that mail server running, and may we open its socket?");
    let all = [
        ("hook.milter", &hooks.milter, Speech::Milter, ours),
        ("hook.lmtp_in", &hooks.lmtp_in, Speech::Lmtp, ours),
        ("hook.lmtp_out", &hooks.lmtp_out, Speech::Lmtp, ours),
        ("hook.reinject", &hooks.reinject, Speech::Smtp, theirs),
        ("hook.deliver", &hooks.deliver, Speech::Lmtp, theirs),
        ("hook.dict", &hooks.dict, Speech::Dict, ours),
        ("hook.auth", &hooks.auth, Speech::Auth, theirs),
    ];
    // All at once: those that say nothing are waited for together.
    let talks: Vec<_> = all
        .into_iter()
        .map(|(id, at, speech, next)| {
            let at = at.clone();
            tokio::spawn(async move {
                let Some(at) = at else { return Finding::skipped(id, "", "not configured") };
                match timeout(PROBE, talk(&at, speech)).await {
                    Ok(Ok(())) => Finding::ok(id, at, "it answers"),
                    Ok(Err(why)) => Finding::failure(id, at, why, next),
                    Err(_late) => Finding::failure(id, at, format!("it says nothing in {} s", PROBE.as_secs()), next),
                }
            })
        })
        .collect();
    let mut findings = Vec::new();
    for talk in talks {
        findings.extend(talk.await);
    }
    findings
}

async fn talk(at: &Place, speech: Speech) -> Result<(), String> {
    let nobody = |why: std::io::Error| format!("nobody answers: {why}");
    match at {
        Place::Tcp(at) => converse(TcpStream::connect(at).await.map_err(nobody)?, speech).await,
        Place::Unix(path) => converse(UnixStream::connect(path).await.map_err(nobody)?, speech).await,
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, speech: Speech) -> Result<(), String> {
    match speech {
        Speech::Milter => {
            // Length, command, version 6, what we could do and want to be spared: nothing of it.
            const OPTIONS: &[u8] = &[0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
            say(&mut stream, OPTIONS).await?;
            let answer = hear(&mut stream, |answer| answer.len() >= 5).await?;
            want(answer.get(4) == Some(&b'O'), &answer)?;
            leave(&mut stream, &[0, 0, 0, 1, b'Q']).await;
            Ok(())
        }
        Speech::Lmtp => mail(&mut stream, "LHLO").await,
        Speech::Smtp => mail(&mut stream, "EHLO").await,
        Speech::Dict => {
            let ask = format!("H3\t2\t0\t\tpostline\nLpriv/{}/vendor/postline/version\tpostmaster\n", "0".repeat(32));
            say(&mut stream, ask.as_bytes()).await?;
            let answer = hear(&mut stream, |answer| answer.contains(&b'\n')).await?;
            want(answer.first().is_some_and(u8::is_ascii_uppercase), &answer)
        }
        Speech::Auth => {
            say(&mut stream, b"VERSION\t1\t2\nCPID\t1\n").await?;
            let answer = hear(&mut stream, |answer| answer.contains(&b'\n')).await?;
            want([b"VERSION\t".as_slice(), b"MECH\t"].iter().any(|start| answer.starts_with(start)), &answer)
        }
    }
}

/// SMTP and LMTP: a greeting, a hello of ours, and the end.
async fn mail(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), hello: &str) -> Result<(), String> {
    let greeting = hear(stream, is_reply).await?;
    want(greeting.starts_with(b"220"), &greeting)?;
    say(stream, format!("{hello} postline-check.invalid\r\n").as_bytes()).await?;
    let answer = hear(stream, is_reply).await?;
    want(answer.starts_with(b"250"), &answer)?;
    leave(stream, b"QUIT\r\n").await;
    Ok(())
}

/// Says goodbye; who has hung up already heard enough.
async fn leave(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

/// Whether a reply has its last line: a code, and no hyphen behind it.
fn is_reply(answer: &[u8]) -> bool {
    let last = answer.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    last.is_some_and(|line| line.get(3) != Some(&b'-'))
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|why| format!("it hangs up: {why}"))
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, String> {
    let (mut heard, mut piece) = (Vec::new(), [0; 512]);
    while !whole(&heard) && heard.len() < ANSWER_BYTES {
        match stream.read(&mut piece).await {
            Ok(0) => return Err("it hangs up".to_owned()),
            Ok(got) => heard.extend_from_slice(piece.get(..got).unwrap_or_default()),
            Err(why) => return Err(format!("it hangs up: {why}")),
        }
    }
    Ok(heard)
}

fn want(good: bool, answer: &[u8]) -> Result<(), String> {
    if good { Ok(()) } else { Err(format!("it says {:?}", crate::shown::shown(&String::from_utf8_lossy(answer), 100))) }
}
