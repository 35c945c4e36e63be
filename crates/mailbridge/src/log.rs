//! Logs: to standard error, one line an event; standard output is for what a command answers.
//!
//! Whatever level is asked for, libraries are heard down to `info` only: below, some of them print
//! what passes through them, and that is mail and tokens.

use std::io::{self, IsTerminal as _};

use tracing::{Level as Severity, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::model::{Level, Log, LogFormat};

/// The client of NATS tells at `info` what this program tells itself.
const LEVEL: &str = "info,async_nats=warn";

/// What the command line says about logs; it wins over the configuration.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// What is logged.
    pub level: Option<Level>,
    /// How lines look.
    pub format: Option<LogFormat>,
}

/// Starts logging. The first call counts.
pub fn start(wishes: &Wishes, config: &Log) {
    let level = wishes.level.as_ref().or(config.level.as_ref());
    let filter = EnvFilter::new(level.map_or(LEVEL, |level| &level.0));
    let terminal = io::stderr().is_terminal();
    let fallback = if terminal { LogFormat::Pretty } else { LogFormat::Json };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match wishes.format.or(config.format).unwrap_or(fallback) {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .with(filter_fn(discreet))
            .try_init(),
        LogFormat::Pretty => lines
            .with_ansi(terminal)
            .with_target(false)
            .compact()
            .finish()
            .with(filter_fn(discreet))
            .try_init(),
    };
    // An error means that logging runs already.
    started.ok();
}

/// Whether an event is our own, or too general to hold what passes through.
fn discreet(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("mailbridge") || *metadata.level() <= Severity::INFO
}
