//! Pipelines and the state store: what is connected to buses by name.

use std::{collections::BTreeMap, ffi::OsString, sync::Arc};

use mailbridge_attachments::{Attachments, Place, Variables};
use mailbridge_compose::{Composer, TemplateFiles};
use mailbridge_core::{
    Code, Error, Files, Keep, StateStore,
    plugin::{self, Build, Bus, Malformed, TargetEnd},
};
use mailbridge_engine::Settings;
use serde_json::Value;

use super::{Assembly, Key, Named, below, only_entry};
use crate::{
    config::{
        Purpose,
        expectation::{self, Test},
        model::{Dedupe, Listen, RequestsSection},
        rules::{self, Readers, posted},
        setup::{EventsPipeline, LedgerSetup, Pipeline, Port},
        templates,
    },
    names::known,
};

/// The kinds of pipelines.
const KINDS: [&str; 2] = ["requests", "events"];

/// Pipelines by their kind, each in the order of their names.
#[derive(Default)]
pub(super) struct Pipelines {
    pub(super) requests: Vec<Pipeline>,
    pub(super) events: Vec<EventsPipeline>,
}

/// What pipelines have taken for themselves.
#[derive(Default)]
struct Taken {
    readers: Readers,
    ports: posted::Ports,
}

impl Taken {
    /// What another one has already of this pipeline's source: the key, and the sentence.
    fn by(&mut self, pipeline: &str, from: &Value) -> Option<(&'static [&'static str], String)> {
        match posted::address(from) {
            Some(address) => {
                let told = self.ports.add(format!("pipeline `{pipeline}`"), address)?;
                Some((&["http"], told))
            }
            None => Some((&[], self.readers.add(pipeline, from)?)),
        }
    }
}

impl Assembly<'_> {
    pub(super) fn pipelines(
        &mut self,
        sections: BTreeMap<String, Value>,
        named: &Named,
        listen: Option<&Listen>,
    ) -> Pipelines {
        let (mut all, mut taken) = (Pipelines::default(), Taken::default());
        if let Some(Listen(address)) = listen {
            taken.ports.add("the HTTP side (`http.listen`)".to_owned(), address);
        }
        for (name, section) in sections {
            self.pipeline(&name, section, named, &mut taken, &mut all);
        }
        all
    }

    fn pipeline(
        &mut self,
        name: &str,
        section: Value,
        named: &Named,
        taken: &mut Taken,
        all: &mut Pipelines,
    ) {
        let key = ["pipelines", name];
        self.check_name(&key, name);
        let Some((kind, section)) = only_entry(section) else {
            let kinds = KINDS.join(" or ");
            return self
                .notes
                .fault(&key, format!("expected one key, the pipeline's kind: {kinds}"));
        };
        let key = ["pipelines", name, &kind];
        match kind.as_str() {
            "requests" => {
                if let Some((part, message)) = section.get("from").and_then(|it| taken.by(name, it))
                {
                    self.notes.fault(&[&under(&key, "from"), part].concat(), message);
                }
                all.requests.extend(self.requests(name, &key, &section, named));
            }
            "events" => all.events.extend(self.events(name, &key, &section, named)),
            _ => {
                let known = known("kinds", &kind, &KINDS);
                self.notes.fault(&key, format!("there is no pipeline kind `{kind}`; {known}"));
            }
        }
    }

    fn requests(
        &mut self,
        name: &str,
        key: Key<'_>,
        section: &Value,
        named: &Named,
    ) -> Option<Pipeline> {
        let typed: Option<RequestsSection> = self.section(key, section.clone(), plugin::parse);
        self.untold(key, section);
        if let Some(typed) = &typed {
            self.check_connection(key, &typed.connection, named);
            let mut wrong = rules::requests(typed);
            if let Some(Some(connection)) = named.connections.get(&typed.connection) {
                wrong.extend(rules::out_of_reach(typed, connection));
            }
            // whoever only examines connections says of such a mailbox what there is to say
            if self.purpose == Purpose::Run {
                wrong.extend(rules::personal(typed));
            }
            for (path, message) in wrong {
                let key: Vec<&str> = key.iter().copied().chain(path.split('.')).collect();
                self.notes.fault(&key, message);
            }
        }
        let settings = typed.as_ref().map(RequestsSection::settings).unwrap_or_default();
        // The ends are taken from the section as it stands, so that their mistakes are told beside
        // those of the section itself.
        let part = |part: &str| section.get(part).cloned();
        let dedupe = typed.as_ref().and_then(|typed| typed.dedupe);
        let ledger = dedupe.map(|it| self.ledger(&under(key, "dedupe"), it, &settings, named));
        let mut needs = settings.needs();
        if let Some(dedupe) = dedupe {
            // the bus must not hand a request out again while it is claimed
            needs.deadline = dedupe.lease(settings.deadline);
        }
        let source = |bus: Arc<dyn Bus>, section| bus.source(section, needs);
        let target = |bus: Arc<dyn Bus>, section| bus.target(section);
        let from = part("from").map(|from| self.port(&under(key, "from"), from, named, source));
        let outcomes =
            part("outcomes").map(|to| self.port(&under(key, "outcomes"), to, named, target));
        let dead_letters = part("dead_letters")
            .map(|to| self.port(&under(key, "dead_letters"), to, named, target));
        let typed = typed?;
        let files = self.files(&under(key, "attachments"), &typed.attachments, named);
        let compose = self.compose(&under(key, "compose"), typed.compose.as_ref());
        let tests = self.tests(&under(key, "tests"), &typed.tests);
        Some(Pipeline {
            name: name.to_owned(),
            connection: typed.connection,
            settings,
            compose,
            tests,
            files: files?,
            ledger: match ledger {
                None => None,
                Some(ledger) => Some(ledger?),
            },
            from: from??,
            outcomes: match outcomes {
                None => None,
                Some(outcomes) => Some(outcomes?),
            },
            dead_letters: dead_letters??,
        })
    }

    pub(super) fn untold(&mut self, key: Key<'_>, section: &Value) {
        for (path, message) in posted::untold(section) {
            let key: Vec<&str> = key.iter().copied().chain(path.split('.')).collect();
            self.notes.fault(&key, message);
        }
    }

    /// How requests are made of events; nothing also for one that is wrong, which is told.
    fn compose(
        &mut self,
        key: Key<'_>,
        config: Option<&mailbridge_compose::Config>,
    ) -> Option<Arc<Composer>> {
        let config = config?;
        let files = match &config.templates {
            None => TemplateFiles::default(),
            Some(folder) => match templates::read(folder) {
                Ok(files) => files,
                Err(message) => return self.notes.refuse(&under(key, "templates"), message),
            },
        };
        let composer = Composer::new(config, files);
        composer.map(Arc::new).map_err(|mistakes| self.notes.faults(key, mistakes)).ok()
    }

    /// Read only for who wants them, so that what runs need not have their files.
    fn tests(&mut self, key: Key<'_>, entries: &[expectation::Entry]) -> Vec<Test> {
        if self.purpose != Purpose::Check {
            return Vec::new();
        }
        let (tests, problems) =
            expectation::read(entries, |path| self.notes.problem(&below(key, path), String::new()));
        self.notes.problems.extend(problems);
        tests
    }

    /// The places that requests may refer to.
    fn files(&mut self, key: Key<'_>, places: &[Place], named: &Named) -> Option<Arc<dyn Files>> {
        let buses = places.iter().filter_map(|place| place.bus.clone());
        self.used.buses.extend(buses);
        let of_bus = |name: &str| {
            let bus = named.buses.get(name).and_then(Option::as_ref);
            let files = bus.and_then(|bus| bus.bus.files());
            files.ok_or_else(|| no_bucket(name, named))
        };
        match Attachments::new(places, &environment(), &of_bus) {
            Ok(files) => Some(Arc::new(files)),
            Err(error) => {
                self.notes.faults(key, vec![Malformed::from(&error)]);
                None
            }
        }
    }

    /// Who is at which request, kept in the file's `state`.
    fn ledger(
        &mut self,
        key: Key<'_>,
        dedupe: Dedupe,
        settings: &Settings,
        named: &Named,
    ) -> Option<LedgerSetup> {
        let lease = dedupe.lease(settings.deadline);
        if lease <= settings.deadline {
            let message = "expected more than `deadline`, or a claim runs out while mail is sent";
            return self.notes.refuse(&under(key, "lease"), message.to_owned());
        }
        if dedupe.window.get() < lease {
            let message = "expected no less than `lease`: a claim must not be forgotten";
            return self.notes.refuse(&under(key, "window"), message.to_owned());
        }
        let Some(state) = self.state.clone() else {
            let message =
                "needs `state` at the top of the file, such as { bus: NAME, bucket: NAME }";
            return self.notes.refuse(key, message.to_owned());
        };
        self.used.state = true;
        let keep = Keep::AtLeast(dedupe.window.get());
        let state_of = |bus: Arc<dyn Bus>, section| bus.state(section, keep);
        let store = self.port::<dyn Build<dyn StateStore>>(&["state"], state, named, state_of)?;
        Some(LedgerSetup { store, lease })
    }

    /// Where it is told that a credential of a connection ends.
    pub(super) fn notify(
        &mut self,
        sections: Vec<(String, Value)>,
        named: &Named,
    ) -> BTreeMap<String, Port<dyn TargetEnd>> {
        let target = |bus: Arc<dyn Bus>, section| bus.target(section);
        let port = |(name, section): (String, Value)| {
            let port = self.port(&["connections", &name, "notify"], section, named, target);
            Some((name, port?))
        };
        sections.into_iter().filter_map(port).collect()
    }

    pub(super) fn state(&mut self, section: &Value, named: &Named) {
        let state = |bus: Arc<dyn Bus>, section| bus.state(section, Keep::Forever);
        self.port::<dyn Build<dyn StateStore>>(&["state"], section.clone(), named, state);
    }

    pub(super) fn check_connection(&mut self, key: Key<'_>, name: &str, named: &Named) {
        self.used.connections.insert(name.to_owned());
        if !named.connections.contains_key(name) {
            let all: Vec<_> = named.connections.keys().map(String::as_str).collect();
            let known = known("connections", name, &all);
            let message = format!("there is no connection `{name}`; {known}");
            self.notes.fault(&under(key, "connection"), message);
        }
    }

    /// One end on a bus: the key `bus` names it, the rest is its plugin's.
    pub(super) fn port<P: ?Sized>(
        &mut self,
        key: Key<'_>,
        section: Value,
        named: &Named,
        take: impl Fn(Arc<dyn Bus>, Value) -> Result<Arc<P>, Malformed>,
    ) -> Option<Port<P>> {
        let Value::Object(mut section) = section else {
            let message = "expected `bus`, and the keys of its plugin".to_owned();
            return self.notes.refuse(key, message);
        };
        let all: Vec<_> = named.buses.keys().map(String::as_str).collect();
        let Some(name) = section.remove("bus") else {
            let message = format!("the key `bus` is missing; {}", known("buses", "", &all));
            return self.notes.refuse(key, message);
        };
        let Value::String(name) = name else {
            return self.notes.refuse(&under(key, "bus"), "expected a bus's name".to_owned());
        };
        let Some(bus) = named.buses.get(&name) else {
            let message = format!("there is no bus `{name}`; {}", known("buses", &name, &all));
            return self.notes.refuse(&under(key, "bus"), message);
        };
        self.used.buses.insert(name.clone());
        let bus = bus.as_ref()?;
        let told = rules::told(&name, bus.plugin, &section);
        let take = |section| take(Arc::clone(&bus.bus), section);
        let build = self.section(key, Value::Object(section), take)?;
        Some(Port { build, told })
    }
}

pub(super) fn under<'a>(key: Key<'a>, part: &'a str) -> Vec<&'a str> {
    [key, &[part]].concat()
}

/// A place names a bus that keeps no files.
pub(super) fn no_bucket(name: &str, named: &Named) -> Error {
    let all: Vec<_> = named.buses.keys().map(String::as_str).collect();
    let known = known("buses", name, &all);
    let detail = format!("`{name}` is no bus with an object store; {known}");
    Error::permanent(Code::ConfigInvalid, detail)
}

/// The variables by which the clouds' own tools are told how to reach an object store.
pub(super) fn environment() -> Variables {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
