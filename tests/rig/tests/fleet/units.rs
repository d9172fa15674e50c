//! The schedule of a host that has systemd: its own systemctl, told that nothing is booted, sets and removes the timers.

use crate::control::{fleet, Control};
use crate::room::Host;

/// Timers are enabled with their times, a second run changes nothing, and they are gone when the database leaves.
pub fn timers(control: &Control<'_>, host: &Host) {
    for (name, text) in [
        ("orapipe-archive@.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
        ("orapipe-archive@.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"),
    ] {
        host.sh(&format!("printf '{}' >/etc/systemd/system/{name}", text.replace('\n', "\\n"))).unwrap();
    }
    // systemctl as in an image that is not booted: it enables and disables, and what would start something does nothing.
    let offline =
        "#!/bin/sh\n[ \"$1\" = is-active ] && exit 0\nfor argument; do shift; [ \"$argument\" = --now ] || \
                   set -- \"$@\" \"$argument\"; done\nSYSTEMD_OFFLINE=1 exec /usr/bin/systemctl \"$@\"\n";
    let mut put = host.command("/bin/sh").unwrap();
    put.args([
        "-c",
        "printf %s \"$0\" >/usr/local/bin/systemctl && chmod 755 /usr/local/bin/systemctl",
        offline,
    ]);
    assert!(put.status().unwrap().success());
    // What the DBA has enabled by hand is none of the role's business.
    let by_hand = "cd /etc/systemd/system && ls -d *.wants/orapipe-follow@* *.wants/orapipe-archive@OTHER*";
    let theirs = "multi-user.target.wants/orapipe-follow@PROD.service\ntimers.target.wants/orapipe-archive@OTHER.timer\n";
    host.sh("systemctl enable orapipe-follow@PROD.service orapipe-archive@OTHER.timer").unwrap();
    let args = ["--limit", "db2", "-e", "orapipe_scheduler=systemd"];
    let planned =
        control.play("install.yml", &[&args[..], &["--check"]].concat()).unwrap().expect(0).unwrap();
    let set = control.play("install.yml", &args).unwrap().expect(0).unwrap();
    // The lines of cron go; directories, commands, times, marks, the timer's link and that of the unit that runs at boot come.
    assert_eq!((planned.changed("db2"), set.changed("db2")), (7, 7), "{}\n{}", planned.text, set.text);
    let timer = "/etc/systemd/system/orapipe-archive@FIN.timer.d/fleet.conf";
    let service = "/etc/systemd/system/orapipe-archive@.service.d/fleet.conf";
    let time = host.sh(&format!("cat {timer}")).unwrap();
    assert!(time.ends_with("[Timer]\nOnCalendar=\nOnCalendar=01:05\n"), "{time}");
    let command = host.sh(&format!("cat {service}")).unwrap();
    assert!(command.ends_with("ExecStart=\nExecStart=/etc/orapipe/jobs/archive %i\n"), "{command}");
    let links =
        "cd /etc/systemd/system && ls -d *.wants/orapipe-*@FIN* && test ! -e /etc/cron.d/orapipe-fleet";
    assert_eq!(
        host.sh(links).unwrap(),
        "multi-user.target.wants/orapipe-reconcile@FIN.service\ntimers.target.wants/orapipe-archive@FIN.timer\n"
    );
    let again = control.play("install.yml", &args).unwrap().expect(0).unwrap();
    assert_eq!(again.changed("db2"), 0, "{}", again.text);
    let left =
        [&args[..], &["-e", "{\"orapipe_databases\":[{\"sid\":\"FIN\",\"state\":\"absent\"}]}"]].concat();
    control.play("install.yml", &left).unwrap().expect(0).unwrap();
    let found =
        "ls -d /etc/systemd/system/orapipe-*.d/* /etc/systemd/system/*.wants/orapipe-*@FIN* /etc/orapipe/FIN.env \
                 2>/dev/null || true";
    assert_eq!(host.sh(found).unwrap(), "");
    assert_eq!(host.sh(by_hand).unwrap(), theirs);
    host.sh("systemctl disable orapipe-follow@PROD.service orapipe-archive@OTHER.timer").unwrap();
}

/// Every job of the role has its units in the package, with the same command and the same time.
#[test]
fn every_job_of_the_role_has_its_units() {
    let defaults = std::fs::read_to_string(fleet().join("roles/orapipe/defaults/main.yml")).unwrap();
    let jobs = defaults.split("\norapipe_jobs:\n").nth(1).unwrap();
    let units = fleet().join("../packaging/systemd");
    let unit = |job: &str, kind: &str| {
        let path = units.join(format!("orapipe-{job}@.{kind}"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (mut job, mut seen) = ("", 0);
    for line in jobs.lines().take_while(|l| l.starts_with("  ")) {
        if let Some(name) = line.strip_prefix("  ").and_then(|l| l.strip_suffix(':')) {
            job = name;
            seen += 1;
        } else if let Some(command) = line.strip_prefix("    command: ") {
            let line = format!("ExecStart={command}");
            assert!(unit(job, "service").lines().any(|l| l == line), "{job}: no {line}");
        } else if let Some(time) = line.strip_prefix("    calendar: ") {
            let line = format!("OnCalendar={}", time.trim_matches('"'));
            assert!(unit(job, "timer").lines().any(|l| l == line), "{job}: no {line}");
        }
    }
    assert!(seen >= 12, "only {seen} jobs were found");
}

/// The inventory of fifty databases is the one that its script makes, and bad lists are refused.
#[test]
fn the_example_is_made_by_its_script() {
    let call = |args: &[&str], list: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        std::fs::write(&file, list).unwrap();
        let mut command = std::process::Command::new(fleet().join("inventory.sh"));
        if list.is_empty() {
            command.args(args);
        } else {
            command.arg(file);
        }
        let out = command.stdin(std::process::Stdio::null()).output().unwrap();
        (out.status.code().unwrap(), crate::room::said(&out))
    };
    let example = std::fs::read_to_string(fleet().join("inventory.example.yml")).unwrap();
    assert_eq!(call(&["--example", "50", "3"], ""), (0, example.clone()));
    assert_eq!((example.matches("- sid: ").count(), example.matches("ansible_host").count()), (50, 3));
    let (status, text) = call(&[], "# all of them\nprod01 ERP arch-ship,export\n\nprod01 BI\n");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("        - sid: ERP\n          jobs: [arch-ship, export]\n"), "{text}");
    assert_eq!(text.matches("prod01:").count(), 1, "{text}");
    for (list, told) in [("a X\na X\n", "twice"), ("a X;rm\n", "no ORACLE_SID"), ("# none\n", "no database")]
    {
        let (status, text) = call(&[], list);
        assert!(status == 64 && text.contains(told), "{list}: {status} {text}");
    }
    assert_eq!(call(&["--example", "0", "3"], "").0, 64);
    let lint = std::process::Command::new("shellcheck")
        .args([fleet().join("inventory.sh"), fleet().join("roles/orapipe/files/last-runs.sh")])
        .output()
        .unwrap();
    assert!(lint.status.success(), "{}", crate::room::said(&lint));
}
