//! What carries a session's frames: a TLS stream as they are, or a WebSocket in binary messages.
//!
//! Both are polled by hand, so that a session reads and writes at once in one task, and reads into a buffer that is only
//! there while it reads.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use postline_codec::stream::FrameReader;
use postline_core::limits;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// How much is read at once from who has proven nothing yet.
const STRANGER_READ_BYTES: usize = 512;

/// Carries frames. No method waits: what can't be done now is asked again when the task is woken.
pub(crate) trait Carrier: Send + 'static {
    /// Reads some bytes into `frames`, which has room; false at the end.
    fn poll_read(&mut self, frames: &mut FrameReader, cx: &mut Context<'_>) -> Poll<io::Result<bool>>;

    /// Takes some of the bytes, which are whole frames where nothing was taken of them yet.
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Sees that all that was taken has left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will come.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The other end is a device of ours: it may say more at a time.
    fn proven(&mut self);
}

/// A TLS stream. Boxed, since a task keeps two places for what it is given.
pub(crate) struct Tls {
    stream: Box<TlsStream<TcpStream>>,
    at_once: usize,
}

impl Tls {
    pub(crate) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Box::new(stream), at_once: STRANGER_READ_BYTES }
    }
}

impl Carrier for Tls {
    fn poll_read(&mut self, frames: &mut FrameReader, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; limits::SESSION_READ_BYTES];
        let most = frames.room().min(self.at_once);
        let mut buffer = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut buffer))?;
        frames.push(buffer.filled());
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    fn proven(&mut self) {
        self.at_once = limits::SESSION_READ_BYTES;
    }
}

/// The end of a stream within this process.
pub(crate) struct Memory {
    stream: DuplexStream,
}

impl Memory {
    pub(crate) const fn new(stream: DuplexStream) -> Self {
        Self { stream }
    }
}

impl Carrier for Memory {
    fn poll_read(&mut self, frames: &mut FrameReader, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; limits::SESSION_READ_BYTES];
        let most = frames.room().min(room.len());
        let mut buffer = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        frames.push(buffer.filled());
        Poll::Ready(Ok(!buffer.filled().is_empty()))
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn proven(&mut self) {}
}

/// A WebSocket (RFC 6455): what its binary messages hold, one behind the other, is the stream of frames. We send whole
/// frames in each, and take them divided in any way.
pub(crate) struct Web<S> {
    stream: Box<S>,
    context: Box<WebSocketContext>,
    /// What came in a message and had no room.
    left: Bytes,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Web<S> {
    /// A WebSocket whose opening handshake is done; `read` came behind it already.
    pub(crate) fn new(stream: S, read: &[u8]) -> Self {
        // Nothing is written but by a flush; how much waits is bounded before it comes here.
        let write = 2 * limits::SESSION_UNWRITTEN_BYTES;
        let config = WebSocketConfig::default()
            .read_buffer_size(STRANGER_READ_BYTES)
            .write_buffer_size(write)
            .max_write_buffer_size(2 * write)
            .max_message_size(Some(limits::HELLO_BYTES + HEAD_BYTES))
            .max_frame_size(Some(limits::HELLO_BYTES + HEAD_BYTES));
        let context = WebSocketContext::from_partially_read(read.to_vec(), Role::Server, Some(config));
        Self { stream: Box::new(stream), context: Box::new(context), left: Bytes::new(), closing: false }
    }
}

/// The length that stands before each frame.
const HEAD_BYTES: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for Web<S> {
    fn poll_read(&mut self, frames: &mut FrameReader, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if !self.left.is_empty() {
                let taken = frames.push(&self.left);
                drop(self.left.split_to(taken));
                return Poll::Ready(Ok(true));
            }
            match self.context.read(&mut Polled { stream: &mut *self.stream, cx }) {
                Ok(Message::Binary(bytes)) => self.left = bytes,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => self.closing = true,
                Ok(Message::Text(_)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "text in a session")));
                }
                Err(fault) => return ended(fault).map_ok(|()| false),
            }
        }
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        match self.context.write(&mut Polled { stream: &mut *self.stream, cx }, message) {
            Ok(()) => Poll::Ready(Ok(bytes.len())),
            // It is kept all the same, and leaves by the next flush.
            Err(fault) => match ended(fault) {
                Poll::Pending => Poll::Ready(Ok(bytes.len())),
                Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            },
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing {
            return Poll::Ready(Ok(()));
        }
        match self.context.flush(&mut Polled { stream: &mut *self.stream, cx }) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(fault) => ended(fault),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            match self.context.close(&mut Polled { stream: &mut *self.stream, cx }, None) {
                Ok(()) => {}
                Err(fault) => ready!(ended(fault))?,
            }
            self.closing = true;
        }
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    fn proven(&mut self) {
        self.context.set_config(|config| {
            config.max_message_size = Some(limits::FRAME_BYTES + HEAD_BYTES);
            config.max_frame_size = config.max_message_size;
        });
    }
}

/// What a fault of a WebSocket is: nothing to do for now, its end, or one of the other end's.
fn ended(fault: tungstenite::Error) -> Poll<io::Result<()>> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "what isn't the connection's is the other end's")]
    match fault {
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Poll::Ready(Ok(())),
        tungstenite::Error::Io(error) => Poll::Ready(Err(error)),
        fault => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault))),
    }
}

/// A stream, for the time of one poll: what it can't do now would block, and wakes the task later.
struct Polled<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(room);
        now(Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
