//! Every command of the README and the guide. `sh` is run, `sh stay` is run beside what follows, and
//! `text` is what they print; docs/guide.md says so to readers. Of `sh elsewhere=WHY` the programs
//! are known ones and mailbridge takes the arguments; more cannot be known here.

use super::{
    page::{self, Block, Page},
    world::{World, is_like},
};
use crate::program::{mailbridge, repository};

/// Why a command is not run, and the programs that such commands are: at least one is among them.
const ELSEWHERE: [(&str, &[&str]); 7] = [
    ("build", &["cargo"]),
    ("tenant", &["mailbridge", "deploy/entra/setup.sh", "terraform", "az"]),
    ("cluster", &["kubectl", "helm"]),
    ("container", &["docker"]),
    ("root", &["sudo"]),
    ("server", &["nats-server", "nats"]),
    ("example", &["mailbridge"]),
];
/// What may stand beside these.
const COMMON: [&str; 7] = ["export", "for", "done", "umask", "mailbridge", "nats", "pwsh"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_does_what_it_says() {
    let (mut run, mut shown) = (0, 0);
    for page in page::guide() {
        let blocks = page.blocks();
        let runs = |block: &&Block<'_>| matches!(block.info, "sh" | "sh stay");
        let all: String = blocks.iter().filter(runs).map(|block| block.text.as_str()).collect();
        if all.is_empty() {
            continue;
        }
        let mut world = World::of(&all).await;
        for block in &blocks {
            let place = page.place(block);
            match block.info {
                "sh" => world.run(&block.text, &place).await,
                "sh stay" => world.stay(&one_command(block, &place), &place),
                "text" => {
                    for line in block.text.lines().filter(|line| line.trim() != "…") {
                        world.shows(line, &place).await;
                        shown += 1;
                    }
                    continue;
                }
                _ => continue,
            }
            run += 1;
        }
        world.end().await;
    }
    assert!(run >= 15 && shown >= 20, "{run} blocks run, {shown} lines looked for");
}

/// A block that stays is one command: what follows it would never begin.
fn one_command(block: &Block<'_>, place: &str) -> String {
    let joined = block.text.replace("\\\n", " ");
    assert_eq!(joined.trim().lines().count(), 1, "{place}: one command goes on, not several");
    joined
}

#[test]
fn what_is_not_run_says_why_and_is_what_programs_take() {
    let mut seen = 0;
    for page in page::guide() {
        for block in page.blocks().into_iter().filter(|block| block.info.starts_with("sh")) {
            let why = match block.info {
                "sh" | "sh stay" => continue,
                other => other.strip_prefix("sh elsewhere="),
            };
            let place = page.place(&block);
            let why = why.unwrap_or_else(|| panic!("{place}: {} is no way to run", block.info));
            if let Err(problem) = checked(why, &block.text) {
                panic!("{place}: {problem}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

/// Whether such a block is right, as far as can be known.
fn checked(why: &str, text: &str) -> Result<(), String> {
    let known = ELSEWHERE.iter().find(|(name, _)| *name == why);
    let (_, programs) = known.ok_or(format!("`{why}` is no reason"))?;
    let commands = commands(text);
    if !commands.iter().any(|words| programs.contains(&words[0].as_str())) {
        return Err(format!("nothing in it is for `{why}`, so a test can run it"));
    }
    for words in &commands {
        let program = words[0].as_str();
        if !programs.contains(&program) && !COMMON.contains(&program) {
            return Err(format!("`{program}` is no program that the guide may ask for"));
        }
        if program == "mailbridge" {
            let arguments: Vec<_> =
                words[1..].iter().map(String::as_str).chain(["--help"]).collect();
            let ran = mailbridge(&repository(), &arguments);
            if ran.code != 0 {
                return Err(ran.stderr);
            }
        }
    }
    Ok(())
}

/// The words of each command: what a comment says, what is set before it and `sudo` are left out.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    for word in words(text) {
        match word.as_str() {
            "\n" | "&&" | "|" | ";" => found.push(Vec::new()),
            _ => found.last_mut().expect("a command").push(word),
        }
    }
    for words in &mut found {
        if words.first().is_some_and(|it| it == "do") {
            words.remove(0);
        }
        if words.first().is_some_and(|it| it == "sudo")
            && words.get(1).is_some_and(|it| it == "mailbridge")
        {
            words.remove(0);
        }
        let set = |word: &String| word.contains('=') && word.starts_with(char::is_uppercase);
        let set = words.iter().take_while(|word| set(word)).count();
        words.drain(..set);
    }
    found.retain(|words| !words.is_empty());
    found
}

/// Words and what stands between commands, as far as the guide's shell goes: quotes, comments.
fn words(text: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let text = text.replace("\\\n", " ");
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => {
                let _comment = characters.by_ref().take_while(|c| *c != '\n').count();
                found.push("\n".to_owned());
            }
            (None, c) if c.is_whitespace() || c == ';' => {
                found.extend(word.take());
                if c == '\n' || c == ';' {
                    found.push("\n".to_owned());
                }
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

#[test]
fn what_could_not_be_run_or_is_wrong_is_seen() {
    assert_eq!(checked("tenant", "mailbridge doctor --format json mailbridge.yaml\n"), Ok(()));
    for (why, text, problem) in [
        ("mood", "mailbridge run x.yaml\n", "no reason"),
        ("cluster", "mailbridge run x.yaml\n", "a test can run it"),
        ("cluster", "kubectl get pods\nrm -r x\n", "`rm` is no program"),
        ("tenant", "mailbridge doctor --fast x.yaml\n", "--fast"),
        ("tenant", "mailbridge docter x.yaml\n", "docter"),
    ] {
        let found = checked(why, text).expect_err(text);
        assert!(found.contains(problem), "{text}: {found}");
    }
}

#[test]
fn what_is_shown_may_leave_out() {
    assert!(is_like("accepted  a  12 ms", "accepted  a  … ms"));
    assert!(is_like("accepted  a  12 ms", "…accepted…"));
    assert!(!is_like("rejected  a  12 ms", "accepted  a  … ms"));
    assert!(!is_like("accepted  a  12 ms late", "accepted  a  … ms"));
}

#[tokio::test]
#[should_panic(expected = "nothing shows `never`")]
async fn output_that_does_not_come_is_seen() {
    let page = Page { path: "docs/x.md".into(), text: "```sh\necho this\n```\n".to_owned() };
    let mut world = World::of("").await;
    world.run(&page.blocks()[0].text, "here").await;
    world.shows("this", "here").await;
    world.shows("never", "here").await;
}
