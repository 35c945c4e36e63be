//! Hands over to the writing program of the `tests` package, which knows the crates whose documents
//! it writes.

use crate::Result;
use crate::command::Line;

pub fn run(arguments: &[String]) -> Result {
    Line::cargo("run --quiet --package mailbridge-tests --bin generate --").args(arguments).run()
}
