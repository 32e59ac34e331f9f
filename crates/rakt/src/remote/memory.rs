//! How much memory this process may use.

/// What the budget is at most where none is set. 256 MiB.
const MAX_DEFAULT_BUDGET: u64 = 256 * 1024 * 1024;
/// The least budget there is. 1 MiB.
pub(crate) const MIN_BUDGET: u64 = 1024 * 1024;

/// The budget where none is set: a quarter of what the process may use, and 256 MiB at most.
pub(crate) fn default_budget() -> u64 {
    let usable = usable().unwrap_or(u64::MAX);
    (usable / 4).clamp(MIN_BUDGET, MAX_DEFAULT_BUDGET)
}

/// Bytes that this process may use, as far as it can be found out: the memory of the machine, the limits
/// of its control groups, and those of the process itself.
#[cfg(target_os = "linux")]
fn usable() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| machine_memory(&text));
    let process = read("/proc/self/limits").and_then(|text| process_limit(&text));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let groups = group_files(&groups).into_iter().filter_map(|path| group_limit(&read(&path)?));
    groups.chain(machine).chain(process).min()
}

#[cfg(not(target_os = "linux"))]
fn usable() -> Option<u64> {
    None
}

/// The memory of the machine, from `/proc/meminfo`.
#[cfg(any(test, target_os = "linux"))]
fn machine_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok().map(|kib: u64| kib.saturating_mul(1024))
}

/// The lowest limit that the process has for its memory, from `/proc/self/limits`.
#[cfg(any(test, target_os = "linux"))]
fn process_limit(text: &str) -> Option<u64> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    of("Max data size").into_iter().chain(of("Max address space")).min()
}

/// Where the limits are of the control groups that a process is in, from `/proc/self/cgroup`. A group has
/// those of the groups that it lies in as well. Within a container its own group may be the root.
#[cfg(any(test, target_os = "linux"))]
fn group_files(text: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group = group.trim_end_matches('/');
        files.push(format!("{root}{group}/{file}"));
        while let Some((outer, _)) = group.rsplit_once('/') {
            group = outer;
            files.push(format!("{root}{group}/{file}"));
        }
    }
    files
}

/// A limit of a control group; `None` where there is none.
#[cfg(any(test, target_os = "linux"))]
fn group_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_found() {
        let text = "MemTotal:       24604156 kB\nMemFree:  1 kB\n";
        assert_eq!(machine_memory(text), Some(24_604_156 * 1024));
        assert_eq!(machine_memory("nothing"), None);
    }

    #[test]
    fn the_lowest_limit_of_the_process_counts() {
        let limits = |data: &str, space: &str| {
            process_limit(&format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max cpu time              unlimited            unlimited            seconds\n\
                 Max data size             {data}            unlimited            bytes\n\
                 Max address space         {space}            unlimited            bytes\n"
            ))
        };
        assert_eq!(limits("unlimited", "unlimited"), None);
        assert_eq!(limits("536870912", "unlimited"), Some(536_870_912));
        assert_eq!(limits("536870912", "1000"), Some(1000));
    }

    #[test]
    fn a_control_group_has_the_limits_of_those_around_it() {
        let files = group_files("0::/pods/one\n");
        let expected = ["/pods/one", "/pods", ""].map(|g| format!("/sys/fs/cgroup{g}/memory.max"));
        assert_eq!(files, expected);
        assert_eq!(group_files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        let older = group_files("4:cpu,cpuacct:/a\n3:memory:/a\n");
        let expected =
            ["/a", ""].map(|g| format!("/sys/fs/cgroup/memory{g}/memory.limit_in_bytes"));
        assert_eq!(older, expected);
        assert_eq!((group_limit("max\n"), group_limit("1048576\n")), (None, Some(1 << 20)));
    }

    #[test]
    fn a_budget_is_never_less_than_the_least() {
        assert!((MIN_BUDGET..=MAX_DEFAULT_BUDGET).contains(&default_budget()));
    }
}
