//! `mailbridge schema`: the JSON Schemas of what crosses the process boundary.

use mailbridge_core::contract::{AnyRequest, MailCloudEvent, Outcome};
use schemars::schema_for;
use serde_json::Value;

use super::doctor;
use crate::{config::schema, exit::Exit, registry::Registry, run::report::tell};

/// The arguments.
#[derive(clap::Args)]
pub struct SchemaOf {
    /// Of what.
    #[arg(value_enum)]
    what: What,
}

/// What has a schema.
#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// The configuration file; give it to your editor
    Config,
    /// What producers publish
    Request,
    /// What becomes of a request
    Outcome,
    /// What is told of a mail
    Event,
    /// What `mailbridge doctor --format json` prints
    Doctor,
}

impl SchemaOf {
    /// Prints the schema.
    pub fn run(&self, registry: &Registry) -> Exit {
        let schema = match self.what {
            What::Config => schema::config(registry),
            What::Request => schema_for!(AnyRequest).to_value(),
            What::Outcome => schema_for!(Outcome).to_value(),
            What::Event => schema_for!(MailCloudEvent).to_value(),
            What::Doctor => schema_for!(doctor::Report).to_value(),
        };
        print(&schema)
    }
}

fn print(schema: &Value) -> Exit {
    tell(format_args!("{schema:#}\n"));
    Exit::Done
}
