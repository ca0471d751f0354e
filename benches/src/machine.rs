//! What the figures were taken on.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

/// The machine, and the programs beside which we were measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_gb: f64,
    pub kernel: String,
    pub open_vswitch: String,
    /// How many processes wanted to run when it was over; more than the processors means that it was not alone.
    pub load: f64,
}

impl Machine {
    pub fn describe() -> Result<Machine> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
            value.unwrap_or("unknown").trim().to_owned()
        };
        let memory = field(&text("/proc/meminfo"), "MemTotal");
        let kilobytes: f64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        let version = Command::new("ovs-vswitchd").arg("--version").output()?;
        Ok(Machine {
            processor: field(&text("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism()?.get(),
            memory_gb: (kilobytes / 1e6).round(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            open_vswitch: String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned(),
            load: text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
        })
    }
}
