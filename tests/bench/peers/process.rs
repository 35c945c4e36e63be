//! What a process has cost, as Linux counts it, and how busy the machine is with all of them.

use std::process::{Child, Command, Stdio};

use crate::{
    Failure,
    rig::{end, status_kib},
};

/// Linux's `USER_HZ`, in which it tells times to programs: the same on all that this runs on
/// (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A contender at work. Dropping it kills it, as nothing else would: without a last word.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(child.map_err(|error| format!("{command:?}: {error}"))?))
    }

    /// Seconds of all cores so far, of the program and of the system for it.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        cpu_seconds(&self.0)
    }

    /// Resident memory at its most, in MiB.
    pub fn peak_mib(&self) -> Result<f64, Failure> {
        Ok(f64::from(u32::try_from(status_kib(self.0.id(), "VmHWM")?)?) / 1024.0)
    }
}

/// Seconds of all cores so far, of the program and of the system for it.
pub fn cpu_seconds(child: &Child) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // a name may have blanks in it, and ends with the last bracket
    let (_, fields) = stat.rsplit_once(')').ok_or("stat without a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / TICKS_PER_SECOND)
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Ticks that all cores have had since the machine began: idle ones, and all of them.
#[derive(Clone, Copy)]
pub struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    pub fn now() -> Result<Self, Failure> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
        // idle, and idle because a disk is slow
        Ok(Self { idle: ticks.iter().skip(3).take(2).sum(), all: ticks.iter().take(8).sum() })
    }

    /// How much of the machine has had nothing to do since then, in percent.
    pub fn idle_percent_since(self, before: Self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "ticks of some minutes")]
        let share = (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64;
        share * 100.0
    }
}
