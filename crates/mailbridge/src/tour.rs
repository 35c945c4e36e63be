//! What to say to somebody who has just tried the sandbox: what really happened there, and what to try
//! next.

use mailbridge_sandbox::Handle;

use crate::run::report::tell;

/// The truth of the sandbox after a run, and the next steps.
pub fn after_sandbox(sandbox: &Handle, codes: &[String]) {
    let truth = sandbox.truth();
    let (sent, drafts) = (truth.sent_total(), truth.drafts_left());
    let doubles = truth.duplicates(mailbridge_graph::MARK_PROPERTY).map_or(0, |twice| twice.len());
    tell(format_args!(
        "  sandbox       {sent} mails really sent, {doubles} of them twice, {drafts} drafts left\n"
    ));
    let program = std::env::args().next().unwrap_or_else(|| "mailbridge".to_owned());
    tell(format_args!("\nNext\n"));
    if let Some(code) = codes.first() {
        next(&format!("{program} explain {code}"), "what a code means, and the cure");
    }
    next(
        &format!("{program} send --sandbox --to you@example.org"),
        "one mail from the command line",
    );
    next(&format!("{program} check configs/nats.yaml"), "the shape of a real configuration");
    next(&format!("{program} sandbox"), "the sandbox as a server, for your own code");
}

fn next(command: &str, why: &str) {
    tell(format_args!("  {command:<62}  # {why}\n"));
}
