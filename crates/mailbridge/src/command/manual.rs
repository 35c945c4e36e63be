//! `mailbridge completions` and `mailbridge man`: what packages install beside the program, made of the
//! command line itself. They write no prose of their own.

use std::{fs, io, path::PathBuf};

use clap_complete::Shell;

use crate::exit::Exit;

/// The program's name, also where its file has another one.
const NAME: &str = "mailbridge";

/// The arguments of `completions`.
#[derive(clap::Args)]
pub struct Completions {
    /// Of which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self, mut cli: clap::Command) -> Exit {
        // in memory first: the generator panics when nobody reads its output to the end
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, NAME, &mut script);
        ended(io::Write::write_all(&mut io::stdout(), &script))
    }
}

/// The arguments of `man`.
#[derive(clap::Args)]
pub struct Man {
    /// Where to put the pages, one for each command; it is made where it is missing
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    /// Writes the pages.
    pub fn run(&self, cli: clap::Command) -> Exit {
        let written = fs::create_dir_all(&self.folder);
        ended(written.and_then(|()| clap_mangen::generate_to(cli, &self.folder)))
    }
}

fn ended(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Done,
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(cause) => {
            eprintln!("this cannot be written: {cause}");
            Exit::Failed
        }
    }
}
