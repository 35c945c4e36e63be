//! Whether two patterns of mailboxes can name the same one. What a pattern means is
//! [`Mailbox::matches`](mailbridge_core::Mailbox::matches).

/// Whether some mailbox fits both. Patterns such as `*@contoso.com`; case does not matter.
pub(super) fn meet(one: &str, other: &str) -> bool {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    // by how much of `other` is read: whether what was read of `one` can stand for the same text
    let mut reached = start(&other);
    for own in one {
        let mut next = vec![false; reached.len()];
        for read in 0..reached.len() {
            let before = read.checked_sub(1);
            let their = before.and_then(|before| other.get(before));
            let was = |row: &[bool], at: Option<usize>| at.is_some_and(|at| row[at]);
            next[read] = if own == '*' || their == Some(&'*') {
                reached[read] || was(&next, before)
            } else {
                their == Some(&own) && was(&reached, before)
            };
        }
        reached = next;
    }
    reached.last().is_some_and(|all| *all)
}

/// What nothing of one pattern can stand for: nothing, and stars.
fn start(other: &[char]) -> Vec<bool> {
    let stars = other.iter().take_while(|it| **it == '*').count();
    (0..=other.len()).map(|read| read <= stars).collect()
}

#[cfg(test)]
mod tests {
    use mailbridge_core::Mailbox;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_meet_where_a_mailbox_fits_both() {
        for (one, other) in [
            ("*", "it@contoso.com"),
            ("*@contoso.com", "IT@Contoso.com"),
            ("*@contoso.com", "*@*.com"),
            ("sales*", "*@contoso.com"),
            ("a*c", "ab*"),
            ("**", "*"),
            ("", "*"),
        ] {
            assert!(meet(one, other) && meet(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("*@contoso.com", "*@fabrikam.com"),
            ("*@contoso.com", "*@contoso.com.au"),
            ("it@contoso.com", "hr@contoso.com"),
            ("a*", "b*"),
            ("", "a*"),
        ] {
            assert!(!meet(one, other) && !meet(other, one), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn a_mailbox_that_fits_both_is_a_meeting(
            text in "[ab@]{0,5}", one in "[ab@*]{0,5}", other in "[ab@*]{0,5}",
        ) {
            let mailbox = Mailbox::new(text.clone());
            if mailbox.matches(&one) && mailbox.matches(&other) {
                prop_assert!(meet(&one, &other), "{text}: {one} {other}");
            }
            // a text without a star is a pattern of its own
            prop_assert_eq!(meet(&one, &text), mailbox.matches(&one));
        }
    }
}
