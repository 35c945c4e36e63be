//! What the script prints for mailbridge's configuration is a right configuration.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::rig::Tenant;

const PIPELINES: &str = "
buses: { files: { local: {} } }
pipelines:
  orders:
    requests:
      from: { bus: files, path: requests.ndjson }
      connection: main
      mailbox: noreply@contoso.com
      dead_letters: { bus: files, path: dead.ndjson }
";

#[test]
fn the_printed_connection_is_taken_as_it_is() {
    let program = mailbridge_testkit::program::binary().expect("the program is built");
    let federated = [
        ("CREDENTIAL", "federated"),
        ("FEDERATED_ISSUER", "https://issuer.example"),
        ("FEDERATED_SUBJECT", "mail"),
    ];
    for settings in [&[("CREDENTIAL", "secret")][..], &[("CREDENTIAL", "certificate")], &federated]
    {
        let tenant = Tenant::new();
        let printed = tenant.set_up(settings).stdout;
        let file = tenant.work().join("mailbridge.yaml");
        fs::write(&file, printed + PIPELINES).expect("a file");
        fs::write(tenant.work().join("token"), "e30.e30.c2ln").expect("a file");
        let ran = Command::new(&program)
            .args(["check", "mailbridge.yaml"])
            .current_dir(tenant.work())
            .env("AZURE_FEDERATED_TOKEN_FILE", "token")
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), said.as_ref()), (Some(0), ""), "{settings:?}");
    }
}
