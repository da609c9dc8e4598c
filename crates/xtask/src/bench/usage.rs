//! What processes take of the machine, as the kernel counts it.

use std::collections::BTreeMap;
use std::time::Duration;

/// The kernel counts CPU time in hundredths of a second in `/proc`, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What a process and its children have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    /// Most memory resident at a time, in bytes.
    pub(super) peak_rss: u64,
}

/// Watches processes from a moment on.
#[derive(Debug)]
pub(super) struct Watch(Vec<(&'static str, u32, Duration)>);

impl Watch {
    /// Begins now. A name that occurs twice stands for the sum.
    pub(super) fn begin(processes: &[(&'static str, u32)]) -> Self {
        let tree = Tree::read();
        let watched = processes.iter().map(|(name, pid)| {
            for pid in tree.family(*pid) {
                // Resets the peak; where that is not allowed it counts from the process's start.
                let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
            }
            (*name, *pid, tree.cpu(*pid))
        });
        Self(watched.collect())
    }

    /// What each has used since.
    pub(super) fn end(self) -> BTreeMap<&'static str, Usage> {
        let tree = Tree::read();
        let mut used: BTreeMap<_, Usage> = BTreeMap::new();
        for (name, pid, before) in self.0 {
            let usage = used.entry(name).or_default();
            usage.cpu += tree.cpu(pid).saturating_sub(before);
            usage.peak_rss += tree.family(pid).into_iter().map(peak_rss).sum::<u64>();
        }
        used
    }
}

/// All processes: parent and CPU time, by id.
#[derive(Debug, Default)]
struct Tree(BTreeMap<u32, (u32, Duration)>);

impl Tree {
    fn read() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let process = |entry: std::fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parse(&stat)?))
        };
        Self(entries.filter_map(process).collect())
    }

    /// The process, its children, and theirs. Those of this process are watched by themselves.
    fn family(&self, pid: u32) -> Vec<u32> {
        let mut family = vec![pid];
        if pid == std::process::id() {
            return family;
        }
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            let children = self.0.iter().filter(|(_, (of, _))| *of == parent);
            family.extend(children.map(|(pid, _)| *pid));
            at += 1;
        }
        family
    }

    fn cpu(&self, pid: u32) -> Duration {
        let cpu = |pid| self.0.get(&pid).map_or(Duration::ZERO, |(_, cpu)| *cpu);
        self.family(pid).into_iter().map(cpu).sum()
    }
}

/// Parent and CPU time of a line of `/proc/<pid>/stat`. The name before them is in brackets and may hold anything.
fn parse(stat: &str) -> Option<(u32, Duration)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let mut ticks = 0;
    for field in fields.get(11..13)? {
        ticks += field.parse::<u64>().ok()?;
    }
    Some((
        parent,
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND),
    ))
}

fn peak_rss(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

/// Memory of a process that is resident now, in bytes; 0 without the process.
pub(super) fn rss(pid: Option<u32>) -> u64 {
    pid.map_or(0, |pid| memory(pid, "VmRSS:"))
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, name).unwrap_or_default() * 1_024
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_is() {
        let line = "7 (a ) b 9) S 3 7 7 0 -1 4194304 1 2 3 4 150 50 25 5 20 0 4 0 77 1000 10";
        assert_eq!(parse(line), Some((3, Duration::from_millis(2_000))));
        assert_eq!(parse("7 (a) S"), None);
    }

    #[test]
    fn a_family_is_the_process_and_all_below_it() {
        let second = Duration::from_secs(1);
        let tree = Tree(
            [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1)]
                .map(|(pid, of)| (pid, (of, second)))
                .into(),
        );
        assert_eq!(tree.family(5), [5, 6, 7]);
        assert_eq!(tree.cpu(5), 3 * second);
        assert_eq!(tree.cpu(9), Duration::ZERO);
    }

    #[test]
    fn memory_is_read_in_kilobytes() {
        assert_eq!(
            kilobytes("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"),
            Some(1234)
        );
        assert_eq!(kilobytes("", "VmHWM:"), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        assert!(rss(Some(std::process::id())) > 0);
        let watch = Watch::begin(&[("this", std::process::id())]);
        assert!(watch.end()["this"].peak_rss > 0);
        let tree = Tree::read();
        assert!(tree.0.contains_key(&std::process::id()));
        assert_eq!(tree.family(std::process::id()).len(), 1);
    }
}
