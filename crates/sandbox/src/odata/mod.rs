//! The query part of OData that Graph's mail API takes: filters and system options.

pub mod filter;
mod lexer;
pub mod query;
mod typing;
