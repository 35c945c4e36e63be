use super::*;

fn message(kind: &str, parts: &[String]) -> Vec<u8> {
    let mut raw = format!(
        "From: a@x.org\r\nTo: b@x.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Odd:  kept \r\n\
         Content-Type: {kind}; boundary=\"b 1\"\r\n\r\npreamble\r\n"
    );
    for part in parts {
        raw.push_str("--b 1\r\n");
        raw.push_str(part);
        raw.push_str("\r\n");
    }
    raw.push_str("--b 1--\r\nepilogue");
    raw.into_bytes()
}

const TEXT: &str = "Content-Type: text/plain\r\n\r\nhello";

fn file(name: &str, headers: &str, bytes: usize) -> String {
    let content = STANDARD.encode(vec![7; bytes]);
    let lines: Vec<_> = content.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    format!(
        "Content-Type: application/pdf; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
         {headers}\r\n{}",
        lines.join("\r\n")
    )
}

const ATTACHED: &str = "Content-Disposition: attachment\r\n";

#[test]
fn the_largest_files_are_taken_out_and_the_rest_is_as_it_was() {
    let small = file("small.pdf", ATTACHED, 300);
    let large = file("große.pdf", "Content-Disposition: inline\r\nContent-ID: <c1>\r\n", 30_000);
    let raw = message("multipart/mixed", &[TEXT.into(), large, small.clone()]);
    let (rest, files) = cut(&raw, 4000).unwrap();
    assert_eq!(rest, message("multipart/mixed", &[TEXT.into(), small]));
    let [taken] = &files[..] else { panic!("one file") };
    assert_eq!(
        (taken.name.as_str(), taken.content_type.as_str()),
        ("große.pdf", "application/pdf")
    );
    assert_eq!(taken.content_id.as_deref(), Some("c1"));
    assert_eq!(taken.bytes, vec![7; 30_000]);

    // as many as it takes, in their order
    let parts = [TEXT.to_owned(), file("1", ATTACHED, 9_000), file("2", ATTACHED, 10_000)];
    let (rest, files) = cut(&message("multipart/mixed", &parts), 4000).unwrap();
    assert_eq!(rest, message("multipart/mixed", &parts[..1]));
    assert_eq!(files.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn what_cannot_be_taken_apart_honestly_is_refused() {
    let large = || file("f.pdf", ATTACHED, 30_000);
    let signature = "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nx".to_owned();
    let quoted = format!(
        "Content-Type: text/csv; name=a.csv\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{}",
        "a,b\r\n".repeat(5_000)
    );
    let calendar = large().replace("; name=", "; method=REQUEST; name=");
    let broken = large().replace("BwcHBwcHBwcHBwcHBwcH\r\n", "!!!!\r\n").replace("BwcH", "B*cH");
    for (what, raw) in [
        ("signed", message("multipart/signed", &[TEXT.into(), large(), signature.clone()])),
        ("holds a signature", message("multipart/mixed", &[TEXT.into(), large(), signature])),
        ("not mixed", message("multipart/related", &[TEXT.into(), large()])),
        ("the text itself", message("multipart/mixed", &[large()])),
        ("not base64", message("multipart/mixed", &[TEXT.into(), quoted])),
        ("its type says more", message("multipart/mixed", &[TEXT.into(), calendar])),
        ("does not decode", message("multipart/mixed", &[TEXT.into(), broken])),
        (
            "no name",
            message(
                "multipart/mixed",
                &[TEXT.into(), file("n", "", 30_000).replace("; name=\"n\"", "")],
            ),
        ),
        ("one part", format!("From: a@x.org\r\n\r\n{}", "a".repeat(9_000)).into_bytes()),
        ("nothing", Vec::new()),
    ] {
        let error = cut(&raw, 4000).map(|_| ()).expect_err(what);
        assert_eq!(error.code(), Code::RequestTooLarge, "{what}: {error:?}");
    }
}

#[test]
fn ten_thousand_parts_one_in_the_other_end_in_bounded_time() {
    let mut raw = String::from("From: a@x.org\r\nTo: b@x.org\r\n");
    for depth in 0..10_000 {
        let boundary = format!("b{depth}");
        let kind = "Content-Type: multipart/mixed; boundary=";
        raw.extend([kind, &boundary, "\r\n\r\n--", &boundary, "\r\n"]);
    }
    assert!(cut(raw.as_bytes(), 4000).is_err());
}
