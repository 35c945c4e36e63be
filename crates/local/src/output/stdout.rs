//! Standard output.
//!
//! What it leads to decides how durable a line is: here it is done when the system has taken it.

use std::io::{self, Write as _};

use mailbridge_core::{Code, Error, Result};

use super::Sink;

/// This process's standard output.
pub(super) struct Stdout;

impl Sink for Stdout {
    fn append(&mut self, lines: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(lines).and_then(|()| stdout.flush()).map_err(|cause| failed(&cause))
    }
}

fn failed(cause: &io::Error) -> Error {
    let detail = match cause.kind() {
        io::ErrorKind::BrokenPipe => {
            "standard output was closed by whoever reads it; start both again, or write to a file"
        }
        _ => "standard output cannot be written",
    };
    Error::blocked(Code::LocalFile, detail).with("cause", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_named() {
        let error = failed(&io::ErrorKind::BrokenPipe.into());
        assert!(error.to_string().contains("closed by whoever reads it"), "{error}");
    }
}
