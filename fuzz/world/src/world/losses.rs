//! What happens to the machines that devices are: they are lost, put back to what they were, or copied and run beside
//! themselves. Whoever is a copy is told by its node, and comes in again as a new device.
//!
//! ```text
//!   lost ───────────────▶ a new one ──JoinWanted──▶ the backup, or a code ──Enrolled──▶ revokes the lost one
//!   put back, copied ───▶ its node: Behind ──▶ enrols anew ──JoinWanted──▶ as above
//! ```

use postline_core::client::io::Passphrase;
use postline_core::client::{Command, Input};
use postline_core::time::{MINUTE, SECOND};

use super::{Happening, Touch, World};

impl World {
    pub(super) fn wears(&mut self, index: usize, touch: &Touch) {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.lost) else { return };
        match touch {
            Touch::BacksUp if device.is_current() => self.step_device(index, Input::Command(Command::Backup)),
            Touch::Copies if device.is_current() => device.disk.back_up(),
            Touch::Loses if device.dk.is_some() => self.loses(index),
            Touch::PutsBack if device.is_current() => self.puts_back(index),
            Touch::Clones if device.is_current() => self.clones(index),
            _ => {}
        }
    }

    /// A backup is put away: what it alone should hold, the device lets go of.
    pub(super) fn puts_away(&mut self, index: usize, bytes: &[u8], passphrase: &Passphrase) {
        let Some(device) = self.devices.get(index) else { return };
        self.backups.insert(device.address.clone(), (bytes.to_vec(), passphrase.clone()));
        self.on_device(SECOND, index, Input::Command(Command::BackupKept));
    }

    fn loses(&mut self, index: usize) {
        self.lose_session(index, false);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.crash();
        self.device_lost_files(index);
        let Some(device) = self.devices.get_mut(index) else { return };
        (device.lost, device.over) = (true, true);
        let (address, former) = (device.address.clone(), device.dk);
        self.trace.note(self.now, format_args!("device {index} is lost"));
        let new = self.devices.len();
        self.add_device(&address);
        if let Some(device) = self.devices.get_mut(new) {
            device.former = former;
        }
    }

    fn puts_back(&mut self, index: usize) {
        self.lose_session(index, false);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.crash();
        self.device_lost_files(index);
        let Some(device) = self.devices.get_mut(index) else { return };
        if device.disk.restore_backup() {
            device.lists.clear();
            self.sealed.is_copied(index);
            self.trace.note(self.now, format_args!("device {index} is put back"));
        }
        self.sealed.restarted(index);
        self.at(SECOND, Happening::DeviceUp(index));
    }

    fn clones(&mut self, index: usize) {
        let new = self.devices.len();
        let Some(device) = self.devices.get(index).filter(|device| device.copy_of.is_none()) else { return };
        match device.copy(new, index) {
            Ok(copy) => self.devices.push(copy),
            Err(broken) => return self.breaks(broken),
        }
        self.sealed.is_copied(index);
        self.sealed.is_copied(new);
        self.trace.note(self.now, format_args!("device {new} is a copy of device {index}"));
        self.at(SECOND, Happening::DeviceUp(new));
    }

    /// A device is told that it is a copy of one that went on: its person has it begin as a new one.
    pub(super) fn begins_anew(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        (device.former, device.tries) = (device.dk.take(), 0);
        self.at(10 * SECOND, Happening::Anew(index));
    }

    pub(super) fn anew(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.lost) else { return };
        if device.client.is_none() {
            return self.at(MINUTE, Happening::Anew(index));
        }
        device.over = false;
        device.wrote.clear();
        self.enrols(index);
    }

    /// A device that isn't in: by the backup, where it is there for one that is gone, else by a code.
    pub(super) fn wants_in(&mut self, index: usize) {
        let Some(device) = self.devices.get(index) else { return };
        let backup = self.backups.get(&device.address).filter(|_| device.former.is_some());
        let command =
            backup.map(|(bytes, passphrase)| Command::Restore { bytes: bytes.clone(), passphrase: passphrase.clone() });
        self.on_device(SECOND, index, Input::Command(command.unwrap_or(Command::Join)));
    }

    /// A device is in that is there for another: the person gives that one up.
    pub(super) fn gives_up_former(&mut self, index: usize) {
        if let Some(former) = self.devices.get_mut(index).and_then(|device| device.former.take()) {
            self.on_device(MINUTE, index, Input::Command(Command::Revoke(former)));
        }
    }
}
