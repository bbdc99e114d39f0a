//! Where the mail server beside us is met: a TCP address on this machine, or a unix socket.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// The longest path of a unix socket, in bytes (`sun_path` less its NUL).
const SOCKET_PATH_BYTES: usize = 107;

/// A place to listen at, or to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "want an address with a port, such as 127.0.0.1:7679, or unix:/path/of/a/socket";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            if !path.is_absolute() || path.as_os_str().len() > SOCKET_PATH_BYTES {
                return Err("a socket's path is absolute, and has at most 107 bytes");
            }
            return Ok(Self::Unix(path.to_owned()));
        }
        text.strip_prefix("inet:").unwrap_or(text).parse().map(Self::Tcp).map_err(|_| WANT)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(at) => at.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(at) => {
                let tcp = TcpStream::connect(at).await?;
                tcp.set_nodelay(true)?;
                Ok(Stream::Tcp(tcp))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        }
    }

    /// Listens there. A socket's file that a dead process left is replaced; its group may connect, and nobody else.
    ///
    /// # Errors
    /// The system's; where somebody else answers there, or a file lies there that is no socket.
    pub async fn listen(&self) -> io::Result<Listener> {
        let path = match self {
            Self::Tcp(at) => return TcpListener::bind(at).await.map(Listener::Tcp),
            Self::Unix(path) => path,
        };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody answers there"));
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file, and it is no socket")),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Listener::Unix(socket, path.clone()))
    }
}

/// A listening socket; a unix socket's file goes when it is dropped.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a unix socket.
    Unix(UnixListener, PathBuf),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    /// The next connection, and where it came from; one by a unix socket came from this machine.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, peer) = listener.accept().await?;
                tcp.set_nodelay(true)?;
                Ok((Stream::Tcp(tcp), peer))
            }
            Self::Unix(listener, _) => {
                let (unix, _) = listener.accept().await?;
                Ok((Stream::Unix(unix), (Ipv4Addr::LOCALHOST, 0).into()))
            }
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn place(&self) -> io::Result<Place> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Place::Tcp),
            Self::Unix(_, path) => Ok(Place::Unix(path.clone())),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Who starts next replaces it in any case.
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By a unix socket.
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}
