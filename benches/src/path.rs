//! The bare durable path, measured by the peers' harness (`rawlimits path`): client → node → node → client over TLS, one
//! sync on each node, nothing else. What no messenger on this machine can be faster than.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Fault;
use crate::peers::harness;

/// What the bare path does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// One way, durable on both before it is delivered, in milliseconds: median and 99 %.
    pub one_way_ms: [f64; 2],
}

/// Measures it; `None` where there is no harness at hand.
///
/// # Errors
/// Where the harness can't be built, or says nothing to be read.
pub fn measure() -> Result<Option<Path>, Fault> {
    let Some(dir) = harness() else { return Ok(None) };
    let target = std::env::temp_dir().join("postline-rawlimits");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--manifest-path"]).arg(dir.join("rawlimits/Cargo.toml"));
    if !build.env("CARGO_TARGET_DIR", &target).status()?.success() {
        return Err("rawlimits could not be built".into());
    }
    let run = Command::new(program(&target)).arg("path").stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let line: Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    let number = |name: &str| line.pointer(name).and_then(Value::as_f64).map(|us| us / 1e3);
    let one_way = [number("/latency_durable_us/p50"), number("/latency_durable_us/p99")];
    let [Some(p50), Some(p99)] = one_way else { return Err(format!("no path in {line}").into()) };
    Ok(Some(Path { one_way_ms: [p50, p99] }))
}

fn program(target: &std::path::Path) -> PathBuf {
    target.join("release").join("rawlimits")
}
