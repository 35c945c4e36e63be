//! `mailbridge explain`: what a code means and what to do about it.

use std::fmt::Write as _;

use mailbridge_core::Code;

use crate::{exit::Exit, names::nearest, run::report::tell};

/// The arguments.
#[derive(clap::Args)]
pub struct Explain {
    /// A code, such as `credential_secret_expired`; all of them when left out.
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

impl Explain {
    /// Tells.
    pub fn run(&self) -> Exit {
        let Some(text) = &self.code else {
            let width = Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap_or_default();
            for code in Code::ALL {
                tell(format_args!("{:width$}  {}\n", code.as_str(), code.meaning()));
            }
            return Exit::Done;
        };
        if let Ok(code) = text.parse::<Code>() {
            tell(format_args!("{}", page(code)));
            return Exit::Done;
        }
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        match nearest(text, &codes) {
            Some(near) => eprintln!("there is no code `{text}`; did you mean `{near}`?"),
            None => eprintln!("there is no code `{text}`; `mailbridge explain` lists all"),
        }
        Exit::Usage
    }
}

fn page(code: Code) -> String {
    let mut page = format!("{code}\n\n");
    for (title, text) in [("means", code.meaning()), ("cure", code.cure())] {
        // writing to a String cannot fail
        writeln!(page, "  {title:6} {text}").ok();
    }
    page
}
