//! Hands a name over to the measuring program of the `tests` package, built for release. What can
//! be measured, and how, is that program's business.

use crate::Result;
use crate::command::Line;

pub fn run(arguments: &[String]) -> Result {
    if arguments.is_empty() {
        return Err(
            "expected the name of a measurement, for example `cargo xtask bench send`".into()
        );
    }
    Line::cargo("run --release --package mailbridge-tests --bin bench --").args(arguments).run()
}
