//! The records to publish, as zone text to paste.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cli::PartFault;
use crate::config::Config;
use crate::dkim::Signer;
use crate::init::{KeyFiles, records_of};

/// All records that the domains of a node need, as zone text. What only the operator knows stands in comments.
///
/// # Errors
/// Where the node's key, or a DKIM key, can't be read.
pub fn zone_text(config: &Config) -> Result<String, PartFault> {
    for domain in &config.domains {
        // Looking makes no keys.
        Signer::load(&config.dkim.dir, domain, &config.dkim.selector)?;
    }
    let host = &config.hostname;
    let mut text = format!(
        "; {host}. A <the address that the world sees>\n; {host}. AAAA <and by IPv6, where there is>\n\
         ; and PTR of each of them, by whoever gave you the address: {host}.\n"
    );
    let mut seen = BTreeSet::new();
    for record in records_of(config, KeyFiles::of(&config.data_dir).identity()?.nk())? {
        let line = record.to_string();
        if seen.insert(line.clone()) {
            let _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}
