//! The node's keys on disk: the seed of the one that signs, and of the one that will follow it.
//!
//! ```text
//!   keys/node.seed   signs, while the node runs
//!   keys/next.seed   signs nothing yet: to be moved to a safe place, and brought back when node.seed is lost or leaked
//!   keys/next.pub    its public half: announced on every link, so that the change will be believed (pre-rotation)
//!   keys/former.pub  the public half of the key before, once there was a change: said on every link, so that it is followed
//! ```
//!
//! A change of the key is four steps, each durable before the next, so that it can be run again wherever it stopped:
//!
//! ```text
//!   keys/new.seed made, then former.pub, then node.seed := next seed,
//!   then next.pub := public half of new.seed,
//!   and new.seed becomes next.seed
//! ```

use std::io;
use std::path::{Path, PathBuf};

use postline_core::id::{Hash, NodeKey};
use postline_core::seal::node::NodeIdentity;
use postline_core::seal::secret::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
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
    /// The next key's seed isn't here, so the key can't be changed.
    #[error("{}: is not here: bring the next key back from its safe place, or name its file by --next", .0.display())]
    NoNext(PathBuf),
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
    /// The public half of the one before.
    pub former_public: PathBuf,
    /// The seed of the one after the next, while a change is under way.
    new_seed: PathBuf,
}

/// A change of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// The key from now on, hex.
    pub node_key: String,
    /// The key until now, hex.
    pub former_key: String,
    /// The seed of the next key, which should be moved to a safe place.
    pub next_seed: PathBuf,
}

impl KeyFiles {
    /// The keys of a data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let file = |name| data_dir.join("keys").join(name);
        Self {
            node_seed: file("node.seed"),
            next_seed: file("next.seed"),
            next_public: file("next.pub"),
            former_public: file("former.pub"),
            new_seed: file("new.seed"),
        }
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
        let next = read_public(&self.next_public)?;
        let former = if self.former_public.exists() { Some(read_public(&self.former_public)?) } else { None };
        if self.next_seed.exists() && NodeIdentity::public(&read_seed(&self.next_seed)?) != next {
            return Err(KeyFault::Halves { public: self.next_public.clone(), seed: self.next_seed.clone() });
        }
        Ok(NodeIdentity::new(&read_seed(&self.node_seed)?, next).following(former))
    }

    /// Changes the node's key to the next one, whose seed lies in `next` or where `init` made it. The node must not run.
    ///
    /// Run again after a crash in the middle, it goes on where it stopped.
    ///
    /// # Errors
    /// [`KeyFault`]; [`KeyFault::NoNext`] where the seed of the next key isn't here, [`KeyFault::Halves`] where it is
    /// another's.
    pub fn rotate(&self, next: Option<&Path>) -> Result<Rotated, KeyFault> {
        let next = next.unwrap_or(&self.next_seed);
        let (node, announced) = (read_public_of(&self.node_seed)?, read_public(&self.next_public)?);
        if self.new_seed.exists() && [node, read_public_of(&self.new_seed)?].contains(&announced) {
            // The key is changed already, and what it announces is not, or not wholly: go on.
            return self.announce_new(node);
        }
        if !next.exists() {
            return Err(KeyFault::NoNext(next.to_owned()));
        }
        let seed = read_seed(next)?;
        if NodeIdentity::public(&seed) != announced {
            return Err(KeyFault::Halves { public: self.next_public.clone(), seed: next.to_owned() });
        }
        make_seed(&self.new_seed)?;
        replace(&self.former_public, format!("{node}\n").as_bytes())?;
        let text = Zeroizing::new(format!("{}\n", Hash(*seed.expose())));
        replace(&self.node_seed, text.as_bytes())?;
        self.announce_new(announced)
    }

    /// The second half of a change: the new next key is announced, and its seed lies where it belongs.
    fn announce_new(&self, node: NodeKey) -> Result<Rotated, KeyFault> {
        let new = read_public_of(&self.new_seed)?;
        // The seed of the key that signs now must not stand beside the public half of another.
        if self.next_seed.exists() {
            let gone = std::fs::remove_file(&self.next_seed);
            gone.map_err(|why| KeyFault::Io { file: self.next_seed.clone(), why })?;
        }
        replace(&self.next_public, format!("{new}\n").as_bytes())?;
        let text = Zeroizing::new(format!("{}\n", Hash(*read_seed(&self.new_seed)?.expose())));
        create(&self.next_seed, text.as_bytes())?;
        let gone = std::fs::remove_file(&self.new_seed);
        gone.map_err(|why| KeyFault::Io { file: self.new_seed.clone(), why })?;
        let former = read_public(&self.former_public)?;
        Ok(Rotated { node_key: node.to_string(), former_key: former.to_string(), next_seed: self.next_seed.clone() })
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

fn read_public_of(seed: &Path) -> Result<NodeKey, KeyFault> {
    Ok(NodeIdentity::public(&read_seed(seed)?))
}

fn read_public(file: &Path) -> Result<NodeKey, KeyFault> {
    NodeKey::parse(&line(file)?).map_err(|_| KeyFault::NoKey(file.to_owned()))
}

fn replace(file: &Path, bytes: &[u8]) -> Result<(), KeyFault> {
    private_file::replace(file, bytes).map_err(|why| KeyFault::Io { file: file.to_owned(), why })
}

fn line(file: &Path) -> Result<Zeroizing<String>, KeyFault> {
    private_file::first_line(file).map_err(|why| KeyFault::Io { file: file.to_owned(), why })
}

fn create(file: &Path, bytes: &[u8]) -> Result<(), KeyFault> {
    private_file::create(file, bytes).map(|_| ()).map_err(|why| KeyFault::Io { file: file.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, KeyFiles) {
        let dir = tempfile::tempdir().unwrap();
        private_file::create_dir(&dir.path().join("keys")).unwrap();
        let keys = KeyFiles::of(dir.path());
        keys.make().unwrap();
        (dir, keys)
    }

    fn next_of(keys: &KeyFiles) -> NodeKey {
        read_public(&keys.next_public).unwrap()
    }

    #[test]
    fn the_next_key_follows_and_announces_another() {
        let (_dir, keys) = made();
        for _ in 0..3 {
            let (before, next) = (keys.identity().unwrap().nk(), next_of(&keys));
            let rotated = keys.rotate(None).unwrap();
            let after = keys.identity().unwrap();
            assert_eq!((after.nk(), after.former()), (next, Some(before)));
            assert_ne!(next_of(&keys), next);
            assert_eq!((rotated.node_key, rotated.former_key), (next.to_string(), before.to_string()));
            assert!(!keys.new_seed.exists());
        }
    }

    #[test]
    fn a_next_seed_that_was_moved_away_must_be_brought_back() {
        let (dir, keys) = made();
        let (safe, next) = (dir.path().join("safe"), next_of(&keys));
        std::fs::rename(&keys.next_seed, &safe).unwrap();
        let before = keys.identity().unwrap().nk();
        assert!(matches!(keys.rotate(None), Err(KeyFault::NoNext(_))));
        assert!(matches!(keys.rotate(Some(&keys.node_seed)), Err(KeyFault::Halves { .. })), "another key's seed");
        assert_eq!(keys.identity().unwrap().nk(), before, "nothing changed");
        keys.rotate(Some(&safe)).unwrap();
        assert_eq!(keys.identity().unwrap().nk(), next);
    }

    #[test]
    fn a_change_that_stopped_in_the_middle_goes_on() {
        for stopped in 0..4 {
            let (_dir, keys) = made();
            let (before, next) = (keys.identity().unwrap().nk(), next_of(&keys));
            let seed = std::fs::read(&keys.next_seed).unwrap();
            make_seed(&keys.new_seed).unwrap();
            if stopped > 0 {
                replace(&keys.former_public, format!("{before}\n").as_bytes()).unwrap();
            }
            if stopped > 1 {
                replace(&keys.node_seed, &seed).unwrap();
            }
            if stopped > 2 {
                std::fs::remove_file(&keys.next_seed).unwrap();
                let new = read_public_of(&keys.new_seed).unwrap();
                replace(&keys.next_public, format!("{new}\n").as_bytes()).unwrap();
            }
            let signs = keys.identity().unwrap().nk();
            assert_eq!(signs, if stopped > 1 { next } else { before }, "it can be started wherever it stopped");
            keys.rotate(None).unwrap();
            let after = keys.identity().unwrap();
            assert_eq!((after.nk(), after.former()), (next, Some(before)), "stopped after {stopped}");
            assert!(keys.next_seed.exists() && !keys.new_seed.exists() && next_of(&keys) != next);
        }
    }
}
