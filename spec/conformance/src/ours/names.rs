//! Names, hints, dials, codes, limits, labels.

use core::net::{IpAddr, SocketAddr};

use postline_core::fault::Code;
use postline_core::id::{Address, Domain};
use postline_core::limits;
use postline_core::net::{Allowed, Denied, Hint, may_dial};
use postline_core::wire::signed::Role;
use serde_json::json;

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, hex, number};

pub(super) fn domain(input: Input<'_>) -> Said {
    let domain = Domain::parse(input.text("text")?).map_err(|_| Class::Name)?;
    Ok(json!({ "domain": domain.as_str() }))
}

pub(super) fn address(input: Input<'_>) -> Said {
    let address = Address::parse(input.text("text")?).map_err(|_| Class::Name)?;
    Ok(json!({ "local": address.local(), "domain": address.domain().as_str() }))
}

pub(super) fn hint(input: Input<'_>) -> Said {
    let text = input.text("text")?;
    let mail_domain =
        Domain::parse(input.text("mail_domain")?).map_err(|_| Not::Understood("no mail domain".to_owned()))?;
    // As in a field: the port written out, the host in normal form ([T-2]).
    let hint = Hint::parse(text).ok().filter(|hint| text.len() <= limits::HINT_BYTES && hint.to_string() == text);
    let hint = hint.ok_or(Class::Hint)?;
    Ok(json!({ "host": hint.host.as_str(), "port": hint.port, "within": hint.within(&mail_domain) }))
}

pub(super) fn dial(input: Input<'_>) -> Said {
    let not = |what: &str| Not::Understood(what.to_owned());
    let ip: IpAddr = input.text("ip")?.parse().map_err(|_| Class::Address)?;
    let port = u16::try_from(input.number("port")?).map_err(|_| not("no port"))?;
    let nets: Option<Vec<&str>> = input.list("allow")?.iter().map(|net| net.as_str()).collect();
    let allowed = Allowed::parse(nets.ok_or_else(|| not("no nets"))?).map_err(|_| not("no net"))?;
    match may_dial(SocketAddr::new(ip, port), &allowed) {
        Ok(()) => Ok(json!({})),
        Err(Denied::Port(_)) => Err(Class::Port.into()),
        Err(Denied::Address { .. }) => Err(Class::Address.into()),
    }
}

pub(super) fn code(input: Input<'_>) -> Said {
    let number = u16::try_from(input.number("number")?).map_err(|_| Class::Malformed)?;
    Ok(json!({ "name": format!("{:?}", Code::from_wire(number)) }))
}

/// The chapter's rows; a test of core compares them with the constants.
pub(super) fn limit(input: Input<'_>) -> Said {
    let name = format!("`{}`", input.text("name")?);
    let rows = include_str!("../../../05-limits.md").lines().filter_map(|line| line.strip_prefix("| "));
    let mut cells = rows.map(|row| row.split(" | ")).filter(|cells| cells.clone().next() == Some(name.as_str()));
    let value = cells.next().and_then(|mut cells| cells.nth(1)).and_then(|cell| cell.parse().ok());
    Ok(json!({ "number": number(value.ok_or_else(|| Not::Understood(format!("no bound {name}")))?) }))
}

pub(super) fn label(input: Input<'_>) -> Said {
    let kind = input.text("kind")?;
    let role = Role::ALL.into_iter().find(|role| role.label() == kind);
    let role = role.ok_or_else(|| Not::Understood(format!("no label {kind}")))?;
    Ok(json!({ "prefix": hex(role.input(&[])) }))
}
