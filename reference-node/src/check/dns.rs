//! What DNS says of this host and its domains, as others read it.

use std::net::{IpAddr, SocketAddr};

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::{Dmarc, Policy};
use mail_auth::spf::{Mechanism, Qualifier, Spf};
use postline_core::id::Domain;
use postline_core::net::may_dial;

use super::{Finding, Scene};
use crate::dkim::{Published, Signer};
use crate::dns::DnsFault;
use crate::init::KeyFiles;

/// Where the next step is the same for all.
const PASTE: &str = "postline check --records prints what to publish";

pub(super) async fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let host = &scene.config.hostname;
    let addresses = scene.resolver.addresses(host).await;
    let ips = addresses.as_deref().unwrap_or_default();
    let mut findings = vec![match &addresses {
        Err(why) => Finding::dns("dns.address", host, why, |host| {
            Finding::failure(
                "dns.address",
                host,
                "it has no address",
                "publish an A record, and AAAA where there is IPv6",
            )
        }),
        Ok(ips) => address(scene, host, ips),
    }];
    for ip in ips {
        findings.push(leads_back(scene, *ip).await);
    }
    for domain in &scene.config.domains {
        let (mx, srv, spf, dmarc, word) = tokio::join!(
            mx(scene, domain),
            srv(scene, domain),
            spf(scene, domain, ips),
            dmarc(scene, domain),
            word(scene, domain),
        );
        findings.extend([mx, srv, spf, dmarc, word]);
        findings.extend(dkim(scene, domain).await);
    }
    findings
}

fn address(scene: &Scene<'_>, host: &Domain, ips: &[IpAddr]) -> Finding {
    let list = ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let closed = ips.iter().find(|ip| may_dial(SocketAddr::new(**ip, 7_678), &scene.config.allow_private).is_err());
    match closed {
        None => Finding::ok("dns.address", host, list),
        Some(ip) => Finding::failure(
            "dns.address",
            host,
            format!("{ip} can't be reached from elsewhere: other nodes and servers won't come"),
            "publish the address that the world sees",
        ),
    }
}

async fn leads_back(scene: &Scene<'_>, ip: IpAddr) -> Finding {
    let (id, host) = ("dns.ptr", &scene.config.hostname);
    let next = format!("let whoever gave you {ip} name it {host} (PTR)");
    match scene.resolver.names(ip).await {
        Ok(names) if names.contains(host) => Finding::ok(id, ip, format!("leads to {host}")),
        Ok(names) => {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Finding::failure(id, ip, format!("leads to {names}, not to {host}: many servers refuse mail from it"), next)
        }
        Err(why) => Finding::dns(id, ip, &why, |ip| {
            Finding::failure(id, ip, "leads to no name: many servers refuse mail from it", next)
        }),
    }
}

async fn mx(scene: &Scene<'_>, domain: &Domain) -> Finding {
    let (id, host) = ("dns.mx", &scene.config.hostname);
    match scene.resolver.mx(domain).await {
        Ok(found) if found.iter().any(|exchange| exchange.host == *host) => Finding::ok(id, domain, format!("{host}")),
        Ok(found) if found.is_empty() => {
            Finding::failure(id, domain, "it says that it takes no mail (RFC 7505)", PASTE)
        }
        Ok(found) => {
            let hosts = found.iter().map(|exchange| exchange.host.to_string()).collect::<Vec<_>>().join(", ");
            let cause = format!("its mail goes to {hosts}, not to {host}");
            Finding::warning(id, domain, cause, format!("{PASTE}; or all is well, where that server brings it here"))
        }
        Err(why) => {
            Finding::dns(id, domain, &why, |domain| Finding::failure(id, domain, "no MX, and no address", PASTE))
        }
    }
}

async fn srv(scene: &Scene<'_>, domain: &Domain) -> Finding {
    let (id, host) = ("dns.srv", &scene.config.hostname);
    let ports: Vec<u16> = scene.config.listen.link.iter().map(SocketAddr::port).collect();
    match scene.resolver.srv(&format!("_postline._tcp.{domain}")).await {
        Ok(found) => match found.iter().find(|service| service.host.as_ref() == Some(host)) {
            Some(service) if ports.contains(&service.port) || ports.contains(&0) => {
                Finding::ok(id, domain, format!("{host}:{}", service.port))
            }
            Some(service) => {
                let cause = format!("it names port {}, and this node listens on {ports:?}", service.port);
                Finding::warning(id, domain, cause, format!("{PASTE}; or all is well, where something passes it on"))
            }
            None => Finding::failure(id, domain, format!("it names other hosts than {host}"), PASTE),
        },
        Err(why) => Finding::dns(id, domain, &why, |domain| match &scene.config.advertise {
            Some(hint) => Finding::ok(id, domain, format!("none; our offers name {hint}")),
            None => Finding::warning(id, domain, "no record: other nodes don't find this one", PASTE),
        }),
    }
}

/// The texts of a name that begin so. More than one is an error by the standards of SPF, DKIM and DMARC alike.
async fn texts(scene: &Scene<'_>, name: &str, start: &str) -> Result<Vec<Vec<u8>>, DnsFault> {
    let mut texts = scene.resolver.txt(name).await?;
    texts.retain(|text| text.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start.as_bytes())));
    if texts.is_empty() { Err(DnsFault::None) } else { Ok(texts) }
}

async fn spf(scene: &Scene<'_>, domain: &Domain, ips: &[IpAddr]) -> Finding {
    let id = "dns.spf";
    let found = match texts(scene, domain.as_str(), "v=spf1").await {
        Ok(found) => found,
        Err(why) => return Finding::dns(id, domain, &why, |domain| Finding::failure(id, domain, "no record", PASTE)),
    };
    let [text] = found.as_slice() else {
        let cause = format!("{} records, where one may be (RFC 7208 3.2): it fails for everybody", found.len());
        return Finding::failure(id, domain, cause, "join them into one");
    };
    let spf = match Spf::parse(text) {
        Ok(spf) => spf,
        Err(why) => return Finding::failure(id, domain, format!("malformed: {why}"), PASTE),
    };
    let is_mx = async || {
        let found = scene.resolver.mx(domain).await.unwrap_or_default();
        found.iter().any(|exchange| exchange.host == scene.config.hostname)
    };
    for directive in &spf.directives {
        let passes = directive.qualifier == Qualifier::Pass;
        let ours = match &directive.mechanism {
            Mechanism::Mx { .. } => is_mx().await,
            Mechanism::Ip4 { addr, mask } => ips.iter().any(|ip| match ip {
                IpAddr::V4(ip) => u32::from(*ip) & mask == u32::from(*addr) & mask,
                IpAddr::V6(_) => false,
            }),
            Mechanism::Ip6 { addr, mask } => ips.iter().any(|ip| match ip {
                IpAddr::V6(ip) => u128::from(*ip) & mask == u128::from(*addr) & mask,
                IpAddr::V4(_) => false,
            }),
            // What others say isn't followed: this may be right.
            Mechanism::A { .. } | Mechanism::Include { .. } | Mechanism::Exists { .. } | Mechanism::Ptr { .. } => {
                return Finding::ok(id, domain, "a record that refers to others, which were not followed");
            }
            Mechanism::All if passes => {
                return Finding::warning(id, domain, "everybody may send its mail (+all)", "end it with -all");
            }
            Mechanism::All => break,
        };
        if ours && passes {
            return Finding::ok(id, domain, "this host may send its mail");
        }
    }
    if spf.redirect.is_some() {
        return Finding::ok(id, domain, "a record that refers to another, which was not followed");
    }
    if scene.config.smarthost.is_some() {
        let next = "let it include what the smarthost's operator says";
        return Finding::warning(id, domain, "it names no other host, and mail leaves by the smarthost", next);
    }
    let cause = format!("it doesn't let {} send its mail", scene.config.hostname);
    Finding::failure(id, domain, cause, "add mx, or ip4:/ip6: of this host, before its all")
}

async fn dmarc(scene: &Scene<'_>, domain: &Domain) -> Finding {
    let id = "dns.dmarc";
    let found = match texts(scene, &format!("_dmarc.{domain}"), "v=DMARC1").await {
        Ok(found) => found,
        Err(why) => return Finding::dns(id, domain, &why, |domain| Finding::warning(id, domain, "no record", PASTE)),
    };
    let [text] = found.as_slice() else {
        let cause = format!("{} records, where one may be: none counts", found.len());
        return Finding::failure(id, domain, cause, "leave one");
    };
    match Dmarc::parse(text) {
        Err(why) => Finding::failure(id, domain, format!("malformed: {why}"), PASTE),
        Ok(dmarc) => match dmarc.p {
            Policy::Quarantine | Policy::Reject => Finding::ok(id, domain, "forged mail is put aside, or refused"),
            Policy::None | Policy::Unspecified => Finding::warning(
                id,
                domain,
                "it asks for nothing: forged mail is taken",
                "p=quarantine, once all is well",
            ),
        },
    }
}

async fn dkim(scene: &Scene<'_>, domain: &Domain) -> Vec<Finding> {
    let id = "dns.dkim";
    if scene.config.beside.reinject.is_some() {
        return vec![Finding::skipped(id, domain, "the mail server beside this node signs its mail")];
    }
    let ours = match Signer::load(&scene.config.dkim.dir, domain, &scene.config.dkim.selector) {
        Ok(signer) => signer.records(),
        Err(why) => return vec![Finding::failure(id, domain, why, "postline init makes keys; or bring them back")],
    };
    let mut findings = Vec::new();
    for Published { name, text } in ours {
        findings.push(match texts(scene, &name, "").await {
            Err(why) => Finding::dns(id, &name, &why, |name| {
                Finding::failure(id, name, "no record: our signatures fail, and no reply opens a line", PASTE)
            }),
            Ok(found) => {
                let usable: Vec<_> = found.iter().filter(|text| DomainKey::parse(text).is_ok()).collect();
                match usable.as_slice() {
                    [] => Finding::failure(id, &name, "no usable key", PASTE),
                    [one] if key(one) == key(text.as_bytes()) => Finding::ok(id, &name, "our key"),
                    [_] => Finding::failure(id, &name, "another key than ours: our signatures fail", PASTE),
                    [..] => Finding::failure(id, &name, "several keys: verifiers may refuse them", "leave ours"),
                }
            }
        });
    }
    findings
}

/// The key of a record, without the white space that zone files put into it.
fn key(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let value = text.split(';').find_map(|tag| tag.trim().strip_prefix("p="))?;
    Some(value.split_whitespace().collect())
}

/// A record that names a key must name ours: another one voids all other evidence.
async fn word(scene: &Scene<'_>, domain: &Domain) -> Finding {
    let id = "dns.word";
    let Ok(identity) = KeyFiles::of(&scene.config.data_dir).identity() else {
        return Finding::skipped(id, domain, "the node's key can't be read");
    };
    let ours = format!("nk={}", identity.nk());
    match texts(scene, &format!("_postline.{domain}"), "v=1").await {
        Err(why) => Finding::dns(id, domain, &why, |domain| {
            Finding::ok(id, domain, "no record; it counts only under DNSSEC, and DKIM speaks for the node without it")
        }),
        Ok(found) => {
            let names_ours = |text: &Vec<u8>| String::from_utf8_lossy(text).split(';').any(|tag| tag.trim() == ours);
            if found.iter().all(names_ours) {
                Finding::ok(id, domain, "our key")
            } else {
                let cause = "it names another key: under DNSSEC nobody's line to us comes up";
                Finding::failure(id, domain, cause, PASTE)
            }
        }
    }
}
