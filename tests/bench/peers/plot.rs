//! The figures as a picture: a panel for each, a bar for each contender.
//!
//! Written by hand, because six panels of four bars need no library that draws.

use std::fmt::Write as _;

use super::{
    Results,
    contender::Who,
    page::{medians, whole},
    plain::Plain,
};
use crate::Failure;

const WIDTH: u32 = 860;
const PANEL_WIDTH: u32 = 420;
const PANEL_HEIGHT: u32 = 132;
const BAR_HEIGHT: u32 = 18;
/// Where bars begin, right of their names.
const BARS_AT: u32 = 190;
/// The longest bar; its figure stands right of it.
const BAR_WIDTH: f64 = 165.0;

struct Panel {
    title: &'static str,
    values: [Option<f64>; 4],
}

pub fn svg(results: &Results) -> Result<String, Failure> {
    let panels = panels(results);
    let height = u32::try_from(panels.len().div_ceil(2))? * PANEL_HEIGHT + 10;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' \
         viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    for (at, panel) in (0_u32..).zip(&panels) {
        let (x, y) = (10 + at % 2 * (PANEL_WIDTH + 10), 10 + at / 2 * PANEL_HEIGHT);
        writeln!(svg, "<g transform='translate({x},{y})'>")?;
        draw(&mut svg, panel)?;
        svg += "</g>\n";
    }
    svg += "</svg>\n";
    Ok(svg)
}

fn panels(results: &Results) -> [Panel; 6] {
    let nats = |pick: fn(&Plain) -> f64| {
        Who::ALL.map(|who| results.nats.get(&who).map(|runs| medians(runs, pick)))
    };
    let kafka = |pick: fn(&Plain) -> f64| {
        Who::ALL.map(|who| results.kafka.get(&who).map(|runs| medians(runs, pick)))
    };
    let twice = |who| results.faults.get(&who).map(|run| whole(run.tally.duplicates));
    let others = |who| results.throttled.get(&who).map(|run| whole(run.others_sent_meanwhile));
    [
        Panel { title: "mails a second, from NATS", values: nats(|run| run.mails_per_second) },
        Panel { title: "mails a second, from Kafka", values: kafka(|run| run.mails_per_second) },
        Panel {
            title: "CPU seconds per 1,000 mails, from NATS (less is better)",
            values: nats(|run| run.cpu_seconds_per_1000),
        },
        Panel {
            title: "peak memory in MiB, from NATS (less is better)",
            values: nats(|run| run.peak_mib),
        },
        Panel {
            title: "mails sent twice, under faults and kill -9 (less is better)",
            values: Who::ALL.map(twice),
        },
        Panel {
            title: "mails of others while one mailbox is throttled",
            values: Who::ALL.map(others),
        },
    ]
}

fn draw(svg: &mut String, panel: &Panel) -> Result<(), Failure> {
    let most = panel.values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    writeln!(svg, "<text y='14' font-weight='bold'>{}</text>", panel.title)?;
    for ((at, who), value) in (0_u32..).zip(Who::ALL).zip(panel.values) {
        let y = 24 + at * (BAR_HEIGHT + 6);
        let text = y + BAR_HEIGHT - 5;
        let colour = if who.mode().is_some() { "#1f6feb" } else { "#9aa4b2" };
        let name = who.title().replace('`', "");
        let end = BARS_AT - 8;
        writeln!(svg, "<text x='{end}' y='{text}' text-anchor='end'>{name}</text>")?;
        let Some(value) = value else { continue };
        let width = (value / most * BAR_WIDTH).max(1.0);
        writeln!(
            svg,
            "<rect x='{BARS_AT}' y='{y}' width='{width:.1}' height='{BAR_HEIGHT}' fill='{colour}'/>"
        )?;
        let (x, figure) = (f64::from(BARS_AT) + width + 6.0, figure(value));
        writeln!(svg, "<text x='{x:.1}' y='{text}'>{figure}</text>")?;
    }
    Ok(())
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
