//! The built program against a real nats-server and the sandbox: what users do to it, and what the
//! world does to it.
//!
//! Every test compares with the sandbox's truth (what was really sent) and with what the bus holds,
//! never with what the program says of itself.

mod bad_input;
mod bounces;
mod bus;
mod compose;
mod copies;
mod corpus;
mod desk;
mod doctor;
mod expiring;
mod forms;
mod guard;
mod health;
mod http_in;
mod identity;
mod inbound;
mod isolation;
mod kafka;
mod kill;
mod reload;
mod replay;
mod restart;
mod rig;
mod rotation;
mod stop;
mod storm;
mod telemetry;
mod tenants;
mod unsendable;
