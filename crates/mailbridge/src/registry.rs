//! The list of bus plugins that a program is built with. No global registry, no dynamic loading:
//! `main` lists them, and a program with a bus of its own is another ten-line `main`.

use mailbridge_core::plugin::{Descriptor, Plugin};

/// Known plugins, in the order they were added.
#[derive(Default)]
pub struct Registry(Vec<Descriptor>);

impl Registry {
    /// Knows none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin.
    #[must_use]
    pub fn with<P: Plugin>(mut self) -> Self {
        self.0.push(Descriptor::of::<P>());
        self
    }

    /// A plugin by its name.
    pub fn find(&self, name: &str) -> Option<&Descriptor> {
        self.0.iter().find(|plugin| plugin.name == name)
    }

    /// All plugins.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.0.iter()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(|plugin| plugin.name).collect()
    }
}
