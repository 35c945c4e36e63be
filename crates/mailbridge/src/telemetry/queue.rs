//! Between those who make spans and a collector: a queue with an end. Whoever makes a span never
//! waits; what does not fit, and what the collector does not take, is dropped and counted, and told
//! once until it is taken again.

use std::time::Duration;

use mailbridge_engine::metric;
use metrics::Counter;
use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Spans that wait at most: some seconds of a busy worker, some megabytes.
const WAITING_MAX: usize = 8192;
/// Spans of one export at most.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// The queue, seen from the program that owns it. Dropped, it sends nothing more.
pub struct Queue {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Queue {
    /// Starts it, and returns the end at which spans are put in. Of an export that takes longer
    /// than `export_max` it is not known whether it was taken: it counts as dropped.
    pub fn start(exporter: impl SpanExporter + 'static, export_max: Duration) -> (Self, Processor) {
        let (sender, spans) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        let dropped = |reason| metrics::counter!(metric::SPANS_DROPPED, "reason" => reason);
        let out = Out {
            exporter,
            export_max,
            exported: metrics::counter!(metric::SPANS_EXPORTED),
            dropped: dropped("collector"),
            taken: true,
        };
        let mut task = JoinSet::new();
        task.spawn(drive(spans, out, stop.clone()));
        (Self { stop, task }, Processor { sender, dropped: Dropped(dropped("queue_full")) })
    }

    /// Sends what waits, for so long at most.
    pub async fn finish(mut self, within: Duration) {
        self.stop.cancel();
        if timeout(within, self.task.join_next()).await.is_err() {
            tracing::warn!("the last spans were not taken in time");
        }
    }
}

/// Collects and exports until it is stopped, and then what is left.
async fn drive<E: SpanExporter>(
    mut spans: Receiver<SpanData>,
    mut out: Out<E>,
    stop: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            taken = spans.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
        }
        let until = Instant::now() + DELAY;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(until) => break,
                taken = spans.recv_many(&mut batch, room) => if taken == 0 { break },
            }
        }
        out.export(std::mem::take(&mut batch)).await;
    }
    spans.close();
    while spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
        out.export(std::mem::take(&mut batch)).await;
    }
}

/// Where spans leave.
struct Out<E> {
    exporter: E,
    export_max: Duration,
    exported: Counter,
    dropped: Counter,
    /// Whether the collector took the last ones.
    taken: bool,
}

impl<E: SpanExporter> Out<E> {
    async fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let failure = match timeout(self.export_max, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(cause)) => Some(cause.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let counter = if failure.is_none() { &self.exported } else { &self.dropped };
        counter.increment(spans as u64);
        match (self.taken, failure) {
            (true, Some(cause)) => {
                self.taken = false;
                tracing::warn!(%cause, spans,
                    "the collector takes no spans: they are dropped, and mail goes on");
            }
            (false, None) => {
                self.taken = true;
                tracing::info!("the collector takes spans again");
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
}

/// Puts spans into the queue.
#[derive(Debug)]
pub struct Processor {
    sender: Sender<SpanData>,
    dropped: Dropped,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.sender.try_send(span).is_err() {
            self.dropped.0.increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Its owner stops the queue.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A counter that can stand where something is printed.
struct Dropped(Counter);

impl std::fmt::Debug for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dropped")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use mailbridge_core::trace::BoxedTracer;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::{error::OTelSdkError, trace::SdkTracerProvider};
    use tokio::sync::Notify;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Collector {
        got: Arc<Mutex<Vec<String>>>,
        came: Arc<Notify>,
        /// It takes them, and never answers.
        hangs: bool,
    }

    impl SpanExporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> Result<(), OTelSdkError> {
            let names = batch.iter().map(|span| span.name.to_string());
            self.got.lock().unwrap().extend(names);
            self.came.notify_one();
            if self.hangs {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    }

    fn started(collector: &Collector) -> (Queue, BoxedTracer) {
        let (queue, processor) = Queue::start(collector.clone(), Duration::from_secs(10));
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        (queue, BoxedTracer::new(Box::new(provider.tracer("test"))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_sent_at_a_stop() {
        let collector = Collector::default();
        let (queue, tracer) = started(&collector);
        let names = (0..=BATCH_MAX * 2).map(|n| n.to_string());
        let names: Vec<String> = names.collect();
        for name in &names {
            drop(tracer.start(name.clone()));
        }
        queue.finish(DELAY / 10).await;
        assert_eq!(*collector.got.lock().unwrap(), names);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_hangs_keeps_nobody_waiting() {
        let collector = Collector { hangs: true, ..Collector::default() };
        let (queue, tracer) = started(&collector);
        drop(tracer.start("first"));
        collector.came.notified().await;
        let begun = Instant::now();
        for _ in 0..WAITING_MAX * 2 {
            drop(tracer.start("more"));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "whoever makes a span goes on");
        collector.came.notified().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(10), "the next ones are tried");
        queue.finish(DELAY).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(11), "a stop is not kept");
        let got = collector.got.lock().unwrap().len();
        assert!(got <= 1 + BATCH_MAX, "the others did not fit, or came too late: {got}");
    }
}
