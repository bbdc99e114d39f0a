//! A device that connects by hand: real sockets, the core's own machine, and no host.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use postline_codec::stream::{FrameReader, encode};
use postline_core::fault::Code;
use postline_core::id::{Address, Domain, NodeKey};
use postline_core::machine::session::device::{Dial, Input, Login, Node as Known, Output, Session};
use postline_core::seal::{DeviceIdentity, Secret};
use postline_core::step::{Outbox, Store as _, Tick};
use postline_core::store::{Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::frame::Frame;
use postline_core::wire::session::browser;
use postline_core::wire::talk::Password;
use postline_node::lab::{Node, Nodes, PASSWORD, Plan};
use postline_node::tls::{self, SessionClient};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::{Message, WebSocket};

use crate::common;

/// How long a test waits for a frame.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Two nodes, whose first has these users, and a door for browsers with pages of this origin.
pub(crate) async fn nodes(users: &[&'static str]) -> Nodes {
    let mut a = Plan::of(users);
    a.settings = vec![
        ("http.public", "[\"127.0.0.1:0\"]".to_owned()),
        ("http.listen", "[\"127.0.0.1:0\"]".to_owned()),
        ("http.origins", "[\"https://chat.a.example\"]".to_owned()),
    ];
    Nodes::start(common::program(), [a, Plan::of(&["two"])]).await.unwrap()
}

/// Where a node listens.
pub(crate) async fn at(node: &Node, listener: &str) -> SocketAddr {
    node.status().await.unwrap().listen[listener][0].parse().unwrap()
}

pub(crate) async fn key(node: &Node) -> NodeKey {
    NodeKey::parse(&node.status().await.unwrap().node_key).unwrap()
}

/// TCP from a local address of its own, where one is wanted.
pub(crate) fn tcp(from: Option<[u8; 4]>, to: SocketAddr) -> TcpStream {
    let socket = match from {
        None => TcpStream::connect(to).unwrap(),
        Some(from) => {
            // The standard library can't bind before it connects; and this thread may drive a runtime already.
            let connect = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let socket = tokio::net::TcpSocket::new_v4().unwrap();
                    socket.bind((from, 0).into()).unwrap();
                    socket.connect(to).await.unwrap().into_std().unwrap()
                })
            };
            let socket = std::thread::spawn(connect).join().unwrap();
            socket.set_nonblocking(false).unwrap();
            socket
        }
    };
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// TLS as a device speaks it on the link's port, and the channel.
pub(crate) fn secure(tcp: TcpStream) -> io::Result<(Stream, [u8; 32])> {
    let (config, _) = SessionClient::new(None).unwrap().config().unwrap();
    let connection = ClientConnection::new(config, ServerName::try_from("mail.a.example").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let (_, channel) = tls::asked(&stream.conn).map_err(io::Error::other)?;
    Ok((stream, channel))
}

/// What carries frames.
pub(crate) enum Wire {
    Tls(Box<Stream>),
    Web(Box<WebSocket<Stream>>),
}

/// The opening request of a WebSocket.
pub(crate) fn opening(host: &str, origin: Option<&str>) -> tungstenite::http::Request<()> {
    use tungstenite::client::IntoClientRequest as _;
    let mut request = format!("wss://{host}/postline").into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().unwrap());
    }
    request
}

/// TLS as a browser speaks it.
pub(crate) fn https(tcp: TcpStream) -> Stream {
    let config = tls::smtp_client_of_any().unwrap();
    let name = ServerName::try_from("mail.a.example").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

impl Wire {
    /// A session's wire over TLS.
    pub(crate) fn tls(to: SocketAddr) -> (Self, [u8; 32]) {
        let (stream, channel) = secure(tcp(None, to)).unwrap();
        (Self::Tls(Box::new(stream)), channel)
    }

    /// A session's wire over a WebSocket, as tungstenite's client opens it.
    pub(crate) fn web(to: SocketAddr, origin: Option<&str>) -> Result<(Self, [u8; 32]), u16> {
        let stream = https(tcp(None, to));
        match tungstenite::client(opening("mail.a.example", origin), stream) {
            Ok((socket, _)) => Ok((Self::Web(Box::new(socket)), browser(&Domain::parse("mail.a.example").unwrap()))),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::Web(socket) => socket.send(Message::Binary(bytes.to_vec().into())).map_err(io::Error::other),
        }
    }

    /// Some bytes; none at the end.
    pub(crate) fn recv(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Tls(stream) => {
                let mut room = vec![0; 16 * 1024];
                let got = match stream.read(&mut room) {
                    Err(error) if ended(&error) => 0,
                    got => got?,
                };
                room.truncate(got);
                Ok(room)
            }
            Self::Web(socket) => loop {
                match socket.read() {
                    Ok(Message::Binary(bytes)) => return Ok(bytes.to_vec()),
                    Ok(Message::Close(_)) => return Ok(Vec::new()),
                    Ok(_) => {}
                    Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_)) => {
                        return Ok(Vec::new());
                    }
                    Err(tungstenite::Error::Io(error)) if ended(&error) => return Ok(Vec::new()),
                    Err(other) => return Err(io::Error::other(other)),
                }
            },
        }
    }
}

fn ended(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

struct NoStore;
impl postline_core::step::Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

fn opened<O>(out: Outbox<O>) -> Vec<O> {
    out.split().1.open(NoStore.commit(&[]).unwrap())
}

/// A device, and its end of a session.
pub(crate) struct Device {
    pub(crate) identity: DeviceIdentity,
    address: Address,
    wire: Wire,
    frames: FrameReader,
    session: Session,
    steps: u64,
    /// Every frame that went out, as bytes.
    pub(crate) said: Vec<(Frame, Vec<u8>)>,
    came: Vec<Output>,
}

/// How a session began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is up.
    Up,
    /// It ended with this code.
    Left(Code),
    /// The node closed without a word.
    Closed,
}

fn now() -> Millis {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Millis(since.as_millis() as u64)
}

pub(crate) fn login(user: &str, password: &str) -> Option<Login> {
    Some(Login { user: user.to_owned(), password: Password(password.to_owned().into()) })
}

pub(crate) fn right(user: &str) -> Option<Login> {
    login(user, PASSWORD)
}

impl Device {
    /// The device with this seed, of this address, on a wire that stands.
    pub(crate) fn on(
        (wire, channel): (Wire, [u8; 32]),
        seed: u8,
        address: &str,
        nk: NodeKey,
        login: Option<Login>,
    ) -> Self {
        Self::with((wire, channel), &sha256(&[&[seed]]).0, address, nk, login)
    }

    pub(crate) fn with(
        (wire, channel): (Wire, [u8; 32]),
        seed: &[u8; 32],
        address: &str,
        nk: NodeKey,
        login: Option<Login>,
    ) -> Self {
        let identity = DeviceIdentity::new(&Secret::new(*seed));
        let address = Address::parse(address).unwrap();
        let dial = Dial { address: address.clone(), node: Some(Known { nk, next: None }), login, posted: 0 };
        let tick = Tick { now: now(), entropy: sha256(&[seed, &channel]).0 };
        let mut out = Outbox::new();
        let session = Session::dial(&tick, &identity, dial, channel, &mut out);
        let (frames, said, came) = (FrameReader::new(), Vec::new(), Vec::new());
        let mut device = Self { identity, address, wire, frames, session, steps: 0, said, came };
        device.perform(out);
        device
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    fn perform(&mut self, out: Outbox<Output>) {
        for output in opened(out) {
            if let Output::Send(frame) = output {
                let mut bytes = Vec::new();
                encode(&frame, None, &mut bytes).unwrap();
                // A node that has closed already has its reasons, which are read.
                let _closed = self.wire.send(&bytes);
                self.said.push((frame, bytes));
            } else {
                self.came.push(output);
            }
        }
    }

    pub(crate) fn step(&mut self, input: Input) {
        self.steps += 1;
        let tick = Tick { now: now(), entropy: sha256(&[&self.steps.to_be_bytes(), &self.identity.dk().0]).0 };
        let mut out = Outbox::new();
        self.session.step(&tick, &self.identity, input, &mut out);
        self.perform(out);
    }

    /// Reads until something comes of it.
    pub(crate) fn next(&mut self) -> Option<Output> {
        loop {
            if !self.came.is_empty() {
                return Some(self.came.remove(0));
            }
            if let Some(incoming) = self.frames.next().unwrap() {
                if matches!(incoming.frame, Frame::Ready(_)) {
                    self.frames.proven();
                }
                self.step(Input::Frame(incoming.frame));
                continue;
            }
            let bytes = self.wire.recv().unwrap();
            if bytes.is_empty() {
                return None;
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let taken = self.frames.push(rest);
                rest = &rest[taken..];
                assert!(taken > 0 || rest.is_empty(), "a frame larger than may be");
            }
        }
    }

    /// Waits until the session is up, or over.
    pub(crate) fn begun(&mut self) -> Begun {
        loop {
            match self.next() {
                Some(Output::Ready { .. }) => return Begun::Up,
                Some(Output::Left(code)) => return Begun::Left(code),
                Some(Output::Failed(fault)) => panic!("{fault}"),
                Some(Output::Send(_) | Output::Talk(_) | Output::File(_) | Output::Whisper(_) | Output::Unknown(_)) => {
                }
                None => return Begun::Closed,
            }
        }
    }

    /// Bytes that no machine would say.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    pub(crate) fn recv_raw(&mut self) -> io::Result<Vec<u8>> {
        self.wire.recv()
    }
}

/// The bytes of a frame.
pub(crate) fn bytes(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    encode(frame, None, &mut out).unwrap();
    out
}

/// The frames of bytes that were heard.
pub(crate) fn frames(mut heard: &[u8]) -> Vec<Frame> {
    let (mut reader, mut frames) = (FrameReader::new(), Vec::new());
    reader.proven();
    while !heard.is_empty() {
        let taken = reader.push(heard);
        heard = &heard[taken..];
        while let Some(incoming) = reader.next().unwrap() {
            frames.push(incoming.frame);
        }
    }
    frames
}
