//! Pipelines of kind `events`: from a mailbox to a bus.

use std::{cell::Cell, sync::Arc};

use mailbridge_attachments::{Place, Storage};
use mailbridge_compose::EventFilter;
use mailbridge_core::{
    FileStore, Filter, Keep, StateStore,
    plugin::{self, Build, Bus, Malformed},
};
use mailbridge_engine::events::HUB_NEEDS;
use serde_json::Value;

use super::{
    Assembly, Key, Named,
    pipelines::{environment, no_bucket, under},
};
use crate::config::{
    Purpose,
    model::events::EventsSection,
    rules::events as rules,
    setup::{EventsPipeline, Port},
};

impl Assembly<'_> {
    pub(super) fn events(
        &mut self,
        name: &str,
        key: Key<'_>,
        section: &Value,
        named: &Named,
    ) -> Option<EventsPipeline> {
        let typed: Option<EventsSection> = self.section(key, section.clone(), plugin::parse);
        self.untold(key, section);
        if let Some(typed) = &typed {
            self.check_connection(key, &typed.connection, named);
            self.check_events(key, typed, named);
        }
        // As with requests: the ends are taken from the section as it stands.
        let part = |part: &str| section.get(part).filter(|part| !part.is_null()).cloned();
        let target = |bus: Arc<dyn Bus>, section| bus.target(section);
        let commits = Cell::new(false);
        let to = part("to").map(|to| {
            let state = self.state_of(&to);
            let target = |bus: Arc<dyn Bus>, section: Value| {
                let together = state.clone().and_then(|state| {
                    // what is wrong with either is told where it is read by itself
                    Arc::clone(&bus).target_with_state(section.clone(), state).ok().flatten()
                });
                commits.set(together.is_some());
                together.map_or_else(|| bus.target(section), Ok)
            };
            self.port(&under(key, "to"), to, named, target)
        });
        let dead_letters = part("dead_letters")
            .map(|to| self.port(&under(key, "dead_letters"), to, named, target));
        let state = self.cursors(key, named, Keep::Forever);
        let shares = self.shares(named);
        let leases = shares.then(|| self.cursors(key, named, Keep::Leases));
        let hub = section.pointer("/wake/event_hub/from").cloned().map(|from| {
            let source = |bus: Arc<dyn Bus>, section| bus.source(section, HUB_NEEDS);
            self.port(&[key, &["wake", "event_hub", "from"]].concat(), from, named, source)
        });
        let section = typed?;
        let filter = section.when.as_ref().map(|when| self.filter(key, when, &section));
        let files = section.store.as_ref().map(|place| self.storage(key, place, named));
        Some(EventsPipeline {
            name: name.to_owned(),
            filter: match filter {
                None => None,
                Some(filter) => Some(filter?),
            },
            section,
            files: match files {
                None => None,
                Some(files) => Some(files?),
            },
            hub: match hub {
                None => None,
                Some(hub) => Some(hub?),
            },
            state: state?,
            leases: leases.flatten(),
            to: to??,
            commits: commits.get(),
            dead_letters: match dead_letters {
                None => None,
                Some(dead_letters) => Some(dead_letters?),
            },
        })
    }

    fn check_events(&mut self, key: Key<'_>, section: &EventsSection, named: &Named) {
        let mut wrong = rules::events(section, self.listening);
        if let Some(Some(connection)) = named.connections.get(&section.connection) {
            wrong.extend(rules::out_of_reach(section, connection));
        }
        // whoever only examines connections says of such a mailbox what there is to say
        if self.purpose != Purpose::Connections {
            wrong.extend(rules::personal(section));
        }
        for (path, message) in wrong {
            let key: Vec<&str> = key.iter().copied().chain(path.split('.')).collect();
            self.notes.fault(&key, message);
        }
        if let Some((path, message)) = rules::doubtful(section) {
            let key: Vec<&str> = key.iter().copied().chain(path.split('.')).collect();
            self.notes.warn(&key, message);
        }
    }

    /// Where large content is put.
    fn storage(
        &mut self,
        key: Key<'_>,
        place: &Place,
        named: &Named,
    ) -> Option<Arc<dyn FileStore>> {
        self.used.buses.extend(place.bus.clone());
        let of_bus = |name: &str, bucket: &str, create: bool| {
            let bus = named.buses.get(name).and_then(Option::as_ref);
            let store = bus.and_then(|bus| bus.bus.file_store(bucket, create));
            store.ok_or_else(|| no_bucket(name, named))
        };
        match Storage::new(place, &environment(), &of_bus) {
            Ok(storage) => Some(Arc::new(storage)),
            Err(error) => {
                self.notes.faults(&under(key, "store"), vec![Malformed::from(&error)]);
                None
            }
        }
    }

    /// Which events are wanted.
    fn filter(
        &mut self,
        key: Key<'_>,
        when: &str,
        section: &EventsSection,
    ) -> Option<Arc<dyn Filter>> {
        match EventFilter::new(when) {
            Ok(filter) => {
                for (field, there) in rules::fields(section) {
                    if !there && filter.reads(field) {
                        let message =
                            format!("`data.{field}` is always empty here: {}", rules::HOLD);
                        self.notes.warn(&under(key, "when"), &message);
                    }
                }
                Some(Arc::new(filter))
            }
            Err(mistakes) => {
                self.notes.faults(key, mistakes);
                None
            }
        }
    }

    /// Whether workers on several machines meet where state is kept.
    fn shares(&self, named: &Named) -> bool {
        let bus = self.state.as_ref().and_then(|state| state.get("bus")?.as_str());
        let bus = bus.and_then(|name| named.buses.get(name)?.as_ref());
        bus.is_some_and(|bus| bus.bus.shares())
    }

    /// The file's `state` less its bus, if that is also the bus of this section.
    fn state_of(&self, section: &Value) -> Option<Value> {
        let mut state = self.state.clone()?;
        let bus = state.as_object_mut()?.remove("bus")?;
        (section.get("bus") == Some(&bus)).then_some(state)
    }

    /// Where it is kept how far each folder was read.
    fn cursors(
        &mut self,
        key: Key<'_>,
        named: &Named,
        keep: Keep,
    ) -> Option<Port<dyn Build<dyn StateStore>>> {
        let Some(state) = self.state.clone() else {
            let message = "needs `state` at the top of the file, where it is kept how far each \
                           folder was read, such as { bus: NAME, bucket: NAME }";
            return self.notes.refuse(key, message.to_owned());
        };
        self.used.state = true;
        let state_of = |bus: Arc<dyn Bus>, section| bus.state(section, keep);
        self.port(&["state"], state, named, state_of)
    }
}
