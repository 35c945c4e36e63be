//! One module for each command: its arguments and what it does.

pub mod check;
pub mod cursor;
pub mod doctor;
pub mod explain;
pub mod manual;
pub mod render;
pub mod replay;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod send;
pub mod test;
pub mod top;
