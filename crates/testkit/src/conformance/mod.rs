//! The conformance suite: every promise written in the documentation of [`mailbridge_core::port`],
//! [`mailbridge_core::delivery`] and [`mailbridge_core::plugin`], checked against a real bus.
//!
//! A bus under test is a [`World`]. The [`promises!`](crate::promises) macro turns one into a test
//! for each promise, so that a failure names the promise that was broken:
//!
//! ```text
//! mod nats { mailbridge_testkit::promises!(NatsWorld::start().await); }
//! ```
//!
//! The suite knows no bus and asks for no capabilities beyond what the promises themselves leave
//! open. It measures nothing; speed is the benchmark's business.

pub mod back;
pub mod input;
pub mod output;
pub mod state;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use mailbridge_core::{
    Input, Message, Needs, Output, Result, StateStore,
    plugin::{self, Begin, ReadBack},
};
use tokio::time::Instant;

/// One bus under test, with a source, a target and a store that nothing else uses.
///
/// A world is made afresh for each promise. All ports that it builds lead to the same source,
/// target and store, so that dropping a port and building it again is what a restart of the program
/// is.
#[async_trait]
pub trait World: Send + Sync {
    /// By when a delivery that was dropped unsettled is out again, at the latest: the bus's
    /// acknowledgement deadline with some slack. Keep it short (a second or two): the suite waits
    /// for it.
    fn comes_back_within(&self) -> Duration;

    /// Whether the bus drops messages whose id it has seen (the promise says "where the bus has
    /// one").
    fn drops_repeats(&self) -> bool;

    /// An input on the source. `needs.deadline` is shorter than [`World::comes_back_within`].
    async fn input(&self, needs: Needs) -> Result<Box<dyn Input>>;

    /// Puts a message on the source as a stranger would, without the plugin's output where there is
    /// another way. The suite's payloads for this are single lines of UTF-8, not always JSON.
    async fn publish(&self, message: Message) -> Result<()>;

    /// An output to the target.
    async fn output(&self) -> Result<Box<dyn Output>>;

    /// Everything that stands on the target, in order, read without the plugin's input where there
    /// is another way.
    async fn published(&self) -> Result<Vec<Message>>;

    /// Reads what stands on the target, where the bus can.
    async fn read_back(&self, _name: &str, _begin: Begin) -> Result<ReadBack> {
        Err(plugin::one_way("read back"))
    }

    /// An output to the source, where the bus has one.
    async fn write_back(&self) -> Result<Box<dyn Output>> {
        Err(plugin::one_way("written back"))
    }

    /// The store.
    async fn store(&self) -> Result<Box<dyn StateStore>>;

    /// Stops the bus and starts it again on what it has kept. A bus without a server does nothing.
    async fn restart(&self) -> Result<()>;
}

/// What a check comes to.
pub type Kept = Result<(), Broken>;

/// A promise that was not kept, and how that showed.
pub struct Broken(String);

impl Broken {
    /// How it showed.
    pub fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<mailbridge_core::Error> for Broken {
    fn from(error: mailbridge_core::Error) -> Self {
        Self(format!("the bus failed: {error:?}"))
    }
}

/// Fails with a sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($how:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Broken::new(format!($($how)+)));
        }
    };
}
use ensure;

/// How often a port is asked for before a bus counts as gone.
const BUILD_WITHIN: Duration = Duration::from_secs(30);

/// Builds an input as the host does: again after a pause, until there is one.
async fn patiently(world: &dyn World, needs: Needs) -> Result<Box<dyn Input>> {
    let give_up = Instant::now() + BUILD_WITHIN;
    loop {
        match world.input(needs).await {
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            built => return built,
        }
    }
}

/// A test for each promise of the suite that every bus keeps. Takes an expression that makes a fresh
/// [`World`]; it may await.
#[macro_export]
macro_rules! promises {
    ($world:expr) => {
        $crate::promises!(@module input $world;
            next_is_cancel_safe
            what_is_dropped_unsettled_comes_back
            what_an_input_held_comes_back_after_it_is_dropped
            after_stop_others_have_what_was_not_handed_out
            deliveries_are_settled_in_any_order_while_next_is_called
            done_is_never_delivered_again
            rejected_is_never_delivered_again
            again_comes_back_and_not_sooner
            a_redelivery_says_that_it_was_seen_before
            a_position_is_stable_and_its_own
            at_most_in_flight_are_out
            extend_holds_a_delivery_past_its_deadline
            headers_and_bytes_arrive_as_they_were_sent
            a_restart_of_the_bus_loses_nothing_and_repeats_nothing_done
        );
        $crate::promises_of_output!($world);
        $crate::promises!(@module state $world;
            an_absent_key_reads_as_nothing
            create_succeeds_only_when_absent
            a_stale_revision_conflicts
            of_two_writers_one_wins
            delete_needs_the_revision
            list_gives_the_keys_of_a_prefix_in_order
            list_gives_thousands_of_keys
            list_misses_nothing_that_stays_while_others_come_and_go
            a_deleted_key_can_be_created_and_its_revision_is_new
            every_allowed_key_works
            what_was_put_survives_a_restart
        );
    };
    (@module $module:ident $world:expr; $($promise:ident)+) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression names what it needs")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() -> $crate::conformance::Kept {
                    let world = $world;
                    $crate::conformance::$module::$promise(&world).await
                }
            )+
        }
    };
}

/// The same for an output alone, where there is nothing to read from.
#[macro_export]
macro_rules! promises_of_output {
    ($world:expr) => {
        $crate::promises!(@module output $world;
            what_publish_confirmed_is_there
            headers_and_any_bytes_are_kept
            a_repeated_id_is_accepted_and_stored_once
            many_can_publish_at_once
            what_was_confirmed_survives_a_restart
        );
    };
}

/// The same for the promises of a bus that can be read back and written back.
#[macro_export]
macro_rules! promises_of_reading_back {
    ($world:expr) => {
        $crate::promises!(@module back $world;
            reading_back_ends_after_what_stands_there
            what_was_settled_is_not_read_back_again
            what_was_left_is_read_back_the_next_time
            what_a_dead_reader_held_is_read_back
            what_is_written_back_is_read_by_the_source
        );
    };
}
