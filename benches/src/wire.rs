//! A device that seals nothing: a session with a node, and bytes that look like sealed messages.
//!
//! ```text
//!   TLS ─▶ greeting (the core's own machine) ─▶ Login ─▶ Line ─▶ Create ─▶ Post … Post ─▶
//!                                                                ◀─ Event, Heads, Delivered ◀─
//! ```
//!
//! With it the nodes alone are measured. It reads and writes on one thread, in as few system calls as there is to say.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postline_codec::stream::{FrameReader, encode};
use postline_core::id::{Address, ConversationId, Hash};
use postline_core::machine::session::device::{Dial, Input, Login, Output, Session};
use postline_core::seal::lists::Chain;
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Store, Tick};
use postline_core::store::{Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::frame::Frame;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::list::Device as Listed;
use postline_core::wire::log::{Change, direct, tag};
use postline_core::wire::talk::{Kind, Line, Origin, Password, Post, Publication, Talk};
use postline_node::tls::{self, SessionClient};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::Fault;
use crate::person::PASSWORD;

/// How long a message of 200 bytes is, padded and sealed.
pub const SEALED_BYTES: usize = 456;
/// How long a node may stay silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A session with a node.
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    frames: FrameReader,
    out: Vec<u8>,
    buffer: Vec<u8>,
    address: Address,
    identity: DeviceIdentity,
    number: u64,
    /// Whose key proofs are here.
    proven: BTreeSet<Address>,
}

impl Wire {
    /// Enrols a new device of `address` at the node that listens at `at`. It is on no list yet: [`Self::prove`].
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub fn enrol(at: SocketAddr, address: &str) -> Result<Self, Fault> {
        Self::enrol_one(address, 0, TcpStream::connect(at)?)
    }

    /// Enrols the `n`th device of `address`, from an address of this machine that is of its own neighbourhood.
    ///
    /// # Errors
    /// Where the node doesn't take it.
    pub fn enrol_from(at: SocketAddr, address: &str, n: usize, from: [u8; 4]) -> Result<Self, Fault> {
        let bind = || -> Result<TcpStream, Fault> {
            // The standard library can't bind before it connects.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let tcp = runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind((from, 0).into())?;
                socket.connect(at).await?.into_std()
            })?;
            tcp.set_nonblocking(false)?;
            Ok(tcp)
        };
        Self::enrol_one(address, n, bind()?)
    }

    fn enrol_one(address: &str, n: usize, tcp: TcpStream) -> Result<Self, Fault> {
        let address = Address::parse(address)?;
        let (which, process) = (n.to_be_bytes(), std::process::id().to_be_bytes());
        let seed = sha256(&[b"bench", address.to_string().as_bytes(), &which, &process]);
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let (config, _) = SessionClient::new(None)?.config()?;
        let name = ServerName::try_from(address.domain().as_str().to_owned())?;
        let mut stream = StreamOwned::new(ClientConnection::new(config, name)?, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let (_, channel) = tls::asked(&stream.conn)?;
        let mut wire = Self {
            stream,
            frames: FrameReader::new(),
            out: Vec::new(),
            buffer: vec![0; READ_BYTES],
            address,
            identity: DeviceIdentity::new(&Secret::new(seed.0)),
            number: 0,
            proven: BTreeSet::new(),
        };
        wire.greet(channel)?;
        Ok(wire)
    }

    fn greet(&mut self, channel: [u8; 32]) -> Result<(), Fault> {
        let login = Login { user: self.address.local().to_owned(), password: Password(PASSWORD.to_owned().into()) };
        let dial = Dial { address: self.address.clone(), node: None, login: Some(login), posted: 0 };
        let mut out = Outbox::new();
        let mut session = Session::dial(&tick()?, &self.identity, dial, channel, &mut out);
        loop {
            let mut next = None;
            for output in opened(out)? {
                match output {
                    Output::Send(frame) => self.send(&frame)?,
                    // The node was started by us a moment ago.
                    Output::Unknown(_) => next = Some(Input::Approved),
                    Output::Ready { .. } => return Ok(()),
                    other => return Err(format!("no session: {other:?}").into()),
                }
            }
            out = Outbox::new();
            let input = match next {
                Some(input) => input,
                None => {
                    self.flush()?;
                    Input::Frame(self.frame()?)
                }
            };
            if matches!(input, Input::Frame(Frame::Ready(_))) {
                self.frames.proven();
            }
            session.step(&tick()?, &self.identity, input, &mut out);
        }
    }

    /// Brings the person's device list, with this device alone, and their key proof for the line with `theirs`: only
    /// listed devices take part. Gives the line's direct conversation.
    ///
    /// # Errors
    /// Where the node takes neither.
    pub fn prove(&mut self, theirs: &str) -> Result<ConversationId, Fault> {
        let secret = |what: &[u8]| Secret::new(sha256(&[what, &self.identity.dk().0]).0);
        let ak = AddressIdentity::new(&secret(b"ak"));
        let next = AddressIdentity::new(&secret(b"next")).ak().hash();
        let listed = Listed::new(self.identity.dk(), false, Millis(1_000));
        let (list, _) = Chain::found(self.address.clone(), &ak, next, false, vec![listed])?;
        let chain = Chain::begin(&self.address, &list)?;
        let t2 = self.line(theirs)?;
        let other = Address::parse(theirs)?;
        let proof = ak.state(KeyProof {
            t2,
            author: self.address.clone(),
            other: other.clone(),
            identity: chain.identity(),
            ak: ak.ak(),
            number: chain.number(),
            list: chain.hash(),
        })?;
        let list = Publication::List(list.bytes().to_vec());
        self.say(Talk::Publish { number: 1, what: list })?;
        let proof = Publication::Proof { theirs: other, bytes: proof.bytes().to_vec() };
        self.say(Talk::Publish { number: 2, what: proof })?;
        self.flush()?;
        Ok(direct(t2))
    }

    /// Waits until the key proof of `theirs` is here too: their device may post then.
    ///
    /// # Errors
    /// Where it doesn't come in time.
    pub fn proven(&mut self, theirs: &str) -> Result<(), Fault> {
        let theirs = Address::parse(theirs)?;
        while !self.proven.contains(&theirs) {
            self.hear()?;
        }
        Ok(())
    }

    /// Waits for word of the line with `theirs`, and gives its T2.
    fn line(&mut self, theirs: &str) -> Result<Hash, Fault> {
        loop {
            for talk in self.hear()? {
                match talk {
                    Talk::Line(line) if line.theirs.to_string() == theirs => {
                        if let Some(t2) = line.t2 {
                            return Ok(t2);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Posts the conversation's first event, or a message of so many bytes: buffered until [`Self::flush`].
    ///
    /// # Errors
    /// Where it can't be written down.
    pub fn post(
        &mut self,
        conversation: ConversationId,
        kind: Kind,
        members: &[&str],
        len: usize,
    ) -> Result<(), Fault> {
        self.number += 1;
        let origin = Origin { device: tag(conversation, self.identity.dk()), number: self.number };
        let mut members = members.iter().map(|member| Address::parse(member)).collect::<Result<Vec<_>, _>>()?;
        members.sort();
        let opaque = vec![7; len];
        let (epoch, bytes) = match kind {
            Kind::Message => (1, opaque),
            Kind::Create | Kind::Commit => {
                (0, Change { commit: Vec::new(), welcome: None, group_info: opaque }.to_bytes())
            }
        };
        self.say(Talk::Post(Post { conversation, origin, kind, epoch, members, bytes }))
    }

    /// How many events it has posted.
    #[must_use]
    pub const fn posted(&self) -> u64 {
        self.number
    }

    /// Says something: buffered until [`Self::flush`].
    ///
    /// # Errors
    /// Where it is no frame.
    pub fn say(&mut self, talk: Talk) -> Result<(), Fault> {
        self.send(&Frame::Talk(talk))
    }

    fn send(&mut self, frame: &Frame) -> Result<(), Fault> {
        Ok(encode(frame, None, &mut self.out)?)
    }

    /// Writes what was said, in one go.
    ///
    /// # Errors
    /// The connection's.
    pub fn flush(&mut self) -> Result<(), Fault> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.stream.flush()?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits until the node says something, and gives all of it that is there.
    ///
    /// # Errors
    /// Where it leaves, or stays silent.
    pub fn hear(&mut self) -> Result<Vec<Talk>, Fault> {
        let mut talks = Vec::new();
        while talks.is_empty() {
            let first = self.frame()?;
            self.heard(first, &mut talks)?;
            while let Some(incoming) = self.frames.next()? {
                self.heard(incoming.frame, &mut talks)?;
            }
        }
        Ok(talks)
    }

    fn heard(&mut self, frame: Frame, talks: &mut Vec<Talk>) -> Result<(), Fault> {
        match frame {
            Frame::Talk(talk @ (Talk::Unposted { .. } | Talk::Published { code: Some(_), .. })) => {
                Err(format!("refused: {talk:?}").into())
            }
            Frame::Talk(talk) => {
                if let Talk::Line(Line { theirs, proof: Some(_), .. }) = &talk {
                    self.proven.insert(theirs.clone());
                }
                talks.push(talk);
                Ok(())
            }
            Frame::Ping(number) => {
                self.send(&Frame::Pong(number))?;
                self.flush()
            }
            other => Err(format!("the node says {other:?}").into()),
        }
    }

    fn frame(&mut self) -> Result<Frame, Fault> {
        loop {
            if let Some(incoming) = self.frames.next()? {
                return Ok(incoming.frame);
            }
            let room = self.frames.room().min(self.buffer.len());
            let got = self.stream.read(&mut self.buffer[..room])?;
            if got == 0 {
                return Err("the node hung up".into());
            }
            self.frames.push(&self.buffer[..got]);
        }
    }
}

/// What the greeting wants done: it keeps no records.
fn opened(out: Outbox<Output>) -> Result<Vec<Output>, Fault> {
    struct Nowhere;
    impl Store for Nowhere {
        type Fault = Fault;
        fn write(&mut self, records: &[Record]) -> Result<(), Fault> {
            if records.is_empty() { Ok(()) } else { Err("a greeting with records".into()) }
        }
    }
    let (records, held) = out.split();
    Ok(held.open(Nowhere.commit(&records)?))
}

fn tick() -> Result<Tick, Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let entropy = sha256(&[b"bench", &now.as_nanos().to_be_bytes()]).0;
    Ok(Tick { now: Millis(u64::try_from(now.as_millis())?), entropy })
}
