//! Where this process runs, told so that another of the same machine can see whether it is still
//! there: a worker that is started again need not wait for the lease of the one before it.
//!
//! Only about processes of the same start of the machine, the same process namespace and the same user
//! anything is said; about those of other containers and machines, nothing. Other users' may be hidden
//! (man 5 `proc`, `hidepid`; systemd.exec, `ProtectProc`), and would look as if they were gone.

use std::{fs, os::unix::fs::MetadataExt as _};

/// This process: the start of the machine, the process namespace, the user, the process and when it
/// began.
/// None where the system does not say.
pub fn here() -> Option<String> {
    let process = std::process::id();
    Some(format!("{} {process} {}", namespace()?, began(process)?))
}

/// Whether a process that was at such a place is certainly there no more.
pub fn is_gone(place: &str) -> bool {
    let mut parts = place.rsplitn(3, ' ');
    let (Some(told), Some(process), Some(there)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(process) = process.parse() else { return false };
    namespace().is_some_and(|here| here == there) && began(process).as_deref() != Some(told)
}

fn namespace() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), namespace.display()))
}

/// When a process began, in ticks since the start of the machine (man 5 `proc_pid_stat`, field 22).
fn began(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name, in parentheses, may have anything in it
    let (_, fields) = stat.rsplit_once(')')?;
    // one that has ended and was not waited for is gone
    let mut fields = fields.split_whitespace();
    (fields.next()? != "Z").then_some(())?;
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_that_has_ended_is_not() {
        let here = here().unwrap();
        assert!(!is_gone(&here));
        let mut other = std::process::Command::new("true").spawn().unwrap();
        let place = format!("{} {} 1", namespace().unwrap(), other.id());
        other.wait().unwrap();
        assert!(is_gone(&place), "nobody has this number, or somebody else who began later");
        let elsewhere = here.replacen(|c: char| c.is_ascii_hexdigit(), "x", 1);
        assert!(!is_gone(&elsewhere), "nothing is known of another machine");
        let of_another =
            place.replacen(&namespace().unwrap(), &format!("{}1", namespace().unwrap()), 1);
        assert!(!is_gone(&of_another), "nor of another user's, who may be hidden");
        assert!(!is_gone("") && !is_gone("a b c"));
    }
}
