//! The node's keys on disk: the seed of the one that signs, and of the one that will follow it.
//!
//! ```text
//!   keys/node.seed   signs, while the node runs
//!   keys/next.seed   signs nothing yet: to be moved to a safe place, and brought back when node.seed is lost or leaked
//!   keys/next.pub    its public half: announced on every link, so that the change will be believed (pre-rotation)
//! ```

use std::io;
use std::path::{Path, PathBuf};

use postline_core::id::{Hash, NodeKey};
use postline_core::seal::node::NodeIdentity;
use postline_core::seal::secret::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::private_file;

/// Why a key can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The system, or a file that others may read.
    #[error("{}: {why}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The file holds no key.
    #[error("{}: want 64 hex digits", .0.display())]
    NoKey(PathBuf),
    /// The two halves of the next key don't belong together.
    #[error("{}: is not the public half of {}", public.display(), seed.display())]
    Halves {
        /// The public half.
        public: PathBuf,
        /// The seed.
        seed: PathBuf,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Entropy,
}

/// Where the keys lie.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// The seed of the key that signs.
    pub node_seed: PathBuf,
    /// The seed of the next; may be moved away.
    pub next_seed: PathBuf,
    /// The public half of the next.
    pub next_public: PathBuf,
}

impl KeyFiles {
    /// The keys of a data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let file = |name| data_dir.join("keys").join(name);
        Self { node_seed: file("node.seed"), next_seed: file("next.seed"), next_public: file("next.pub") }
    }

    /// Makes what isn't there; what is there stays.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn make(&self) -> Result<NodeKey, KeyFault> {
        make_seed(&self.node_seed)?;
        if !self.next_public.exists() {
            make_seed(&self.next_seed)?;
            let public = NodeIdentity::public(&read_seed(&self.next_seed)?);
            create(&self.next_public, format!("{public}\n").as_bytes())?;
        }
        Ok(self.identity()?.nk())
    }

    /// Reads the node's identity. The seed of the next key needn't be there.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn identity(&self) -> Result<NodeIdentity, KeyFault> {
        let no_key = || KeyFault::NoKey(self.next_public.clone());
        let next = NodeKey::parse(&line(&self.next_public)?).map_err(|_| no_key())?;
        if self.next_seed.exists() && NodeIdentity::public(&read_seed(&self.next_seed)?) != next {
            return Err(KeyFault::Halves { public: self.next_public.clone(), seed: self.next_seed.clone() });
        }
        Ok(NodeIdentity::new(&read_seed(&self.node_seed)?, next))
    }
}

fn make_seed(file: &Path) -> Result<(), KeyFault> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| KeyFault::Entropy)?;
    let text = Zeroizing::new(format!("{}\n", Hash(*seed)));
    create(file, text.as_bytes())
}

fn read_seed(file: &Path) -> Result<Secret<32>, KeyFault> {
    let seed = Hash::parse(&line(file)?).map_err(|_| KeyFault::NoKey(file.to_owned()))?;
    Ok(Secret::new(seed.0))
}

fn line(file: &Path) -> Result<Zeroizing<String>, KeyFault> {
    private_file::first_line(file).map_err(|why| KeyFault::Io { file: file.to_owned(), why })
}

fn create(file: &Path, bytes: &[u8]) -> Result<(), KeyFault> {
    private_file::create(file, bytes).map(|_| ()).map_err(|why| KeyFault::Io { file: file.to_owned(), why })
}
