//! What `/proc` says of a process: CPU time, memory, children.

use std::fs;

/// The processes that this one started and that are still there.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| stat(*process).is_some_and(|fields| fields[1] == parent.to_string()))
        .collect()
}

/// User and system time so far, in seconds.
pub(crate) fn cpu(process: u32) -> f64 {
    stat(process)
        .and_then(|fields| Some(fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?))
        .unwrap_or_default()
        / TICKS
}

/// Memory in MiB: what is its own, and of what it shares its share. A worker forbids that to be looked at
/// by others than root; then everything resident is counted, which is more.
pub(crate) fn memory(process: u32) -> f64 {
    let read = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    read("smaps_rollup", "Pss:")
        .or_else(|| read("status", "VmRSS:"))
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// The fields of `stat` from the state on: the name before it may hold blanks.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// `USER_HZ`, in which Linux tells times to programs.
const TICKS: f64 = 100.0;
