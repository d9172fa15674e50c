//! The drill in the mail: what was asked, what was answered, and the place in the chain of evidence.

use std::process::Command;

use crate::{bracket, metrics, program, said, DRILL};

#[test]
fn the_drill_is_in_the_mail_in_both_languages() {
    let dir = tempfile::tempdir().unwrap();
    let asked = "{\"name\":\"pedidos\",\"sql\":\"select count(*) from app.orders\",\"verdict\":\"differs\",\"seconds\":0.1,\
                 \"expected\":\"17\",\"result\":\"16 <b>\"}";
    let drill = DRILL
        .replace(
            "\"status\":\"success\"",
            "\"status\":\"failed\",\"time\":\"2026-11-20T09:58:01\",\"reason\":\"query pedidos: 16\"",
        )
        .replace("\"queries\":[", &format!("\"queries\":[{asked},"))
        .replace("\"prev\":\"00\"", "\"prev\":\"0123456789abcdef0123\"");
    let en = [
        "opened at SCN 959994830198",
        "recovery goes on",
        "1 of 2 queries passed",
        "pedidos: 16",
        "instead of 17",
        "by oracle on dr1",
    ];
    let pt = [
        "aberto no SCN 959994830198",
        "a recuperação continua",
        "1 de 2 consultas corretas",
        "pedidos: 16",
        "em vez de 17",
        "por oracle em dr1",
    ];
    for (language, words, time) in [("en", en, "2026-11-20 09:58:01"), ("pt", pt, "20/11/2026 09:58:01")] {
        let (html, eml) = (dir.path().join("mail.html"), dir.path().join("mail.eml"));
        let args = [
            "--language",
            language,
            "--to",
            "dba@example.com",
            "--html",
            html.to_str().unwrap(),
            "--output",
            eml.to_str().unwrap(),
        ];
        metrics(dir.path(), "drill", &bracket("rman-run", 5, &[&drill]), &args);
        // Base64 and the like are undone by somebody else's reader.
        let read = "import email,email.policy,sys\nm=email.message_from_binary_file(open(sys.argv[1],'rb'),policy=email.policy.default)\n\
                    print(m.get_body(('plain',)).get_content())";
        let mut python = Command::new(program("python3"));
        let (status, text) = said(python.env("PYTHONIOENCODING", "utf-8").args(["-c", read]).arg(&eml));
        assert_eq!(status, 0, "{text}");
        let page = std::fs::read_to_string(&html).unwrap();
        assert!(page.contains("16 &lt;b&gt;") || page.contains("16 &#60;b&#62;"), "{page}");
        for word in words.iter().chain(&[time, "0123456789ab…"]) {
            assert!(page.contains(word), "{language}: {word} is not in the HTML\n{page}");
            assert!(text.contains(word), "{language}: {word} is not in the text\n{text}");
        }
    }
}
