//! Three hosts, four databases, one control host: the role, the schedule, the collected report, and the way back.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod control;
mod machine;
mod room;
mod units;

use control::{dist, Control, Play};
use machine::Machine;
use room::{said, Host, Room};

const SMTP: &str = "S3cr3t of the mail server, 100% 'sure'";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NEW_KEY: &str = "another/key/after/the/rotation";
/// Hosts of the inventory.
const NAMES: [&str; 3] = ["db1", "db2", "db3"];

/// db1 has PROD (with secrets) and TEST, db2 FIN, db3 RH.
fn inventory(room: &Room, dist: &str, interval: u32) -> String {
    let host = |n: usize| {
        format!("ansible_host: {}\n      orapipe_hostname: {}", room.host(n).address, room.host(n).name)
    };
    let mailreport = rig::tool::program("mailreport").unwrap();
    format!(
        r#"orapipe:
  hosts:
    db1:
      {}
      orapipe_databases:
        - sid: PROD
          settings: {{EMAIL_TO: dba@example.com, SMTP_USERNAME: backup, SSH_OPTIONS: "-p 22 -i '/home/oracle/key'"}}
          secrets: "{{{{ vault_prod }}}}"
          jobs: [archive]
        - sid: TEST
          settings: {{SLEEP_INTERVAL: {interval}}}
          jobs: [archive]
    db2:
      {}
      orapipe_databases:
        - {{sid: FIN, jobs: [archive, reconcile]}}
    db3:
      {}
      orapipe_databases:
        - {{sid: RH, jobs: [archive]}}
  vars:
    ansible_user: root
    ansible_ssh_private_key_file: {}
    ansible_ssh_common_args: -F /dev/null -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}
    ansible_python_interpreter: /usr/bin/python3
    orapipe_become: false
    orapipe_package_dir: {dist}
    orapipe_scheduler: cron
    orapipe_settings: {{DEST_HOST: dr01}}
    orapipe_more_jobs:
      archive:
        command: date +%F >/dev/null; zip-rotate --dir "$HOME/zip/$ORACLE_SID" <"$HOME/$ORACLE_SID.jsonl"
        cron: "5 1 * * *"
        calendar: "01:05"
        expect: [zip-rotate]
        max_age_hours: 26
all:
  vars:
    orapipe_report_dir: {}
    orapipe_mailreport: {}
"#,
        host(1),
        host(2),
        host(3),
        room.key().display(),
        room.dir().join("known_hosts").display(),
        room.dir().join("report").display(),
        mailreport.display(),
    )
}

/// A dump for the job of a database, and the record that names it.
fn dump(host: &Host, sid: &str, name: &str) {
    let line = format!(
        "mkdir -p zip/{sid} && echo data >{sid}.dmp && echo '{{\"path\":\"/home/oracle/{name}.dmp\"}}' >{sid}.jsonl && \
         chown -R oracle:oinstall ."
    );
    host.sh(&format!("cd /home/oracle && {line}")).unwrap();
}

/// The lines of one host's report, as they came.
fn collected(room: &Room, host: &str) -> String {
    std::fs::read_to_string(room.dir().join(format!("report/records/{host}.jsonl"))).unwrap()
}

fn changes(play: &Play) -> [u32; 3] {
    NAMES.map(|name| play.changed(name))
}

#[test]
fn three_hosts_from_nothing_to_one_report_and_back() {
    let begin = std::time::Instant::now();
    let time = |what: &str| eprintln!("{:5.1} s: {what}", begin.elapsed().as_secs_f64());
    let before = Machine::look();
    let dist = dist().unwrap();
    let dist = dist.to_str().unwrap();
    let room = Room::new(3).unwrap();
    let vault =
        |key: &str| format!("vault_prod:\n  SMTP_PASSWORD: {SMTP:?}\n  AWS_SECRET_ACCESS_KEY: {key}\n");
    let control =
        Control::new(&room, &inventory(&room, dist, 30), &vault(KEY), &[SMTP, KEY, NEW_KEY]).unwrap();
    time("the hosts are up");

    // --check changes nothing, and says what the run then does.
    let untouched: Vec<_> = (1..=3).map(|n| room.written(n).unwrap()).collect();
    let planned = control.play("install.yml", &["--check", "--diff"]).unwrap().expect(0).unwrap();
    for n in 1..=3 {
        assert_eq!(room.written(n).unwrap(), untouched[n - 1], "--check has changed db{n}");
    }
    time("checked");
    let done = control.play("install.yml", &["--diff", "-v"]).unwrap().expect(0).unwrap();
    assert!(changes(&done).iter().all(|n| *n > 5), "{}", done.text);
    assert_eq!(changes(&planned), changes(&done), "{}\n{}", planned.text, done.text);
    time("installed");
    installed(&room);
    let again = control.play("install.yml", &["--diff", "-v"]).unwrap().expect(0).unwrap();
    assert_eq!(changes(&again), [0, 0, 0], "{}", again.text);
    time("nothing more to do");

    refusals(&control, &room, dist);
    time("refusals");
    jobs_and_report(&control, &room);
    time("collected");

    // A host dies; the others get a new setting and a new secret, and one report tells it all.
    room.host(3).die();
    control.inventory(&inventory(&room, dist, 60)).unwrap();
    control.vault(&vault(NEW_KEY)).unwrap();
    let part = control.play("install.yml", &["--diff"]).unwrap().expect(4).unwrap();
    assert_eq!(changes(&part), [2, 0, 0], "{}", part.text);
    assert_eq!(part.hosts["db3"].unreachable, 1, "{}", part.text);
    assert!(
        part.text.contains("-SLEEP_INTERVAL='30'") && part.text.contains("+SLEEP_INTERVAL='60'"),
        "{}",
        part.text
    );
    assert!(room.host(1).sh("cat /etc/orapipe/PROD.env").unwrap().contains(NEW_KEY));
    time("changed without the dead host");
    report_of_a_bad_day(&control, &room);
    time("bad day");

    units::timers(&control, room.host(2));
    time("systemd");
    removal(&control, &room);
    time("removed");
    drop(room);
    assert_eq!(Machine::look().differences(&before), Vec::<String>::new(), "this machine was changed");
}

/// What is on the hosts after the first run.
fn installed(room: &Room) {
    let one = room.host(1);
    let look = "cd /etc/orapipe && stat -c '%n %a %U:%G' PROD.env TEST.env && stat -c '%n %a %U:%G' /var/log/orapipe/PROD \
                /var/lib/orapipe/TEST /etc/cron.d/orapipe-fleet /etc/logrotate.d/orapipe-fleet";
    assert_eq!(
        one.sh(look).unwrap(),
        "PROD.env 600 oracle:oinstall\nTEST.env 640 root:oinstall\n/var/log/orapipe/PROD 750 oracle:oinstall\n\
         /var/lib/orapipe/TEST 750 oracle:oinstall\n/etc/cron.d/orapipe-fleet 644 root:root\n\
         /etc/logrotate.d/orapipe-fleet 644 root:root\n"
    );
    let prod = one.sh("cat /etc/orapipe/PROD.env").unwrap();
    for line in [
        "ORACLE_SID='PROD'".to_owned(),
        "DEST_HOST='dr01'".to_owned(),
        "STATE_DIR='/var/lib/orapipe/PROD'".to_owned(),
        "SSH_OPTIONS=\"-p 22 -i '/home/oracle/key'\"".to_owned(),
        format!("SMTP_PASSWORD=\"{SMTP}\""),
        format!("AWS_SECRET_ACCESS_KEY='{KEY}'"),
    ] {
        assert!(prod.lines().any(|l| l == line), "{line} is not in\n{prod}");
    }
    // The tools read it, and take the rights for good.
    let out = one.cron("ORAPIPE_ENV_FILE=/etc/orapipe/PROD.env mailreport --show-config").unwrap();
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("SMTP_PASSWORD") && !said(&out).contains(SMTP), "{}", said(&out));
    let out = one.cron("ORAPIPE_ENV_FILE=/etc/orapipe/TEST.env arch-ship --show-config").unwrap();
    assert!(said(&out).contains("/var/log/orapipe/TEST"), "{}", said(&out));
    for n in 1..=3 {
        let found = room
            .host(n)
            .sh("dpkg-query -W -f '${db:Status-Status}' orapipe; rgrep -l -e 'S3cr3t' /var/log /tmp || true");
        assert_eq!(found.unwrap(), "installed", "db{n}");
    }
}

/// What is wrong is said before anything is changed.
fn refusals(control: &Control<'_>, room: &Room, dist: &str) {
    let untouched = room.written(2).unwrap();
    let wrong = room.dir().join("wrong");
    std::fs::create_dir(&wrong).unwrap();
    let mut sums = String::new();
    for entry in std::fs::read_dir(dist).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".deb") {
            // Another build of the same name than the one that was summed.
            std::os::unix::fs::symlink(&path, wrong.join(name)).unwrap();
            sums.push_str(&format!("{}  {name}\n", "0".repeat(64)));
        }
    }
    std::fs::write(wrong.join("SHA256SUMS"), sums).unwrap();
    let dir = format!("orapipe_package_dir={}", wrong.display());
    for (extra, told) in [
        (dir.as_str(), "is not the file that"),
        ("orapipe_package_dir=/nowhere", "make it with scripts/package.sh"),
        ("{\"orapipe_settings\":{\"SMTP_PASSWORD\":\"plain\"}}", "SMTP_PASSWORD is a secret"),
        ("{\"orapipe_databases\":[{\"sid\":\"FIN\",\"jobs\":[\"shipp\"]}]}", "there is no job shipp"),
        ("orapipe_hostname=other", "this host calls itself db2.example.com"),
        ("orapipe_user=nobody_here", "install Oracle first"),
    ] {
        let play = control.play("install.yml", &["--limit", "db2", "-e", extra]).unwrap().expect(2).unwrap();
        assert!(play.text.contains(told) && !play.text.contains("plain\""), "{extra}: {}", play.text);
        assert_eq!(play.changed("db2"), 0, "{}", play.text);
    }
    assert_eq!(room.written(2).unwrap(), untouched);

    // Settings that the DBA has written by hand are neither overwritten nor removed.
    let host = room.host(2);
    host.sh("cp -p /etc/orapipe/FIN.env /root/FIN.env && echo DEST_HOST=by-hand >/etc/orapipe/FIN.env")
        .unwrap();
    let untouched = room.written(2).unwrap();
    let play = control.play("install.yml", &["--limit", "db2"]).unwrap().expect(2).unwrap();
    assert!(play.text.contains("/etc/orapipe/FIN.env: not made by this role"), "{}", play.text);
    assert_eq!((play.changed("db2"), room.written(2).unwrap()), (0, untouched), "{}", play.text);
    let left = "{\"orapipe_databases\":[{\"sid\":\"FIN\",\"state\":\"absent\"}]}";
    control.play("install.yml", &["--limit", "db2", "-e", left]).unwrap().expect(0).unwrap();
    assert_eq!(host.sh("cat /etc/orapipe/FIN.env").unwrap(), "DEST_HOST=by-hand\n");
    host.sh("mv /root/FIN.env /etc/orapipe/FIN.env").unwrap();
    control.play("install.yml", &["--limit", "db2"]).unwrap().expect(0).unwrap();
}

/// Every job runs as cron would run it; the report of a good day is a success and has every database.
fn jobs_and_report(control: &Control<'_>, room: &Room) {
    for (n, sids) in [(1, &["PROD", "TEST"][..]), (2, &["FIN"]), (3, &["RH"])] {
        let host = room.host(n);
        sids.iter().for_each(|sid| dump(host, sid, sid));
        let jobs = host.crontab().unwrap();
        assert_eq!(jobs.len(), sids.len());
        for job in jobs {
            let out = host.cron(&job).unwrap();
            assert!(out.status.success(), "{job}: {}", said(&out));
        }
    }
    let boot = room.host(2).sh("grep @reboot /etc/cron.d/orapipe-fleet").unwrap();
    assert!(boot.starts_with("@reboot oracle /etc/orapipe/jobs/reconcile FIN "), "{boot}");
    let good = control.play("collect.yml", &[]).unwrap().expect(0).unwrap();
    assert_eq!(changes(&good), [0, 0, 0]);
    for (n, sids) in [(1, &["PROD", "TEST"][..]), (2, &["FIN"]), (3, &["RH"])] {
        let own: String = sids
            .iter()
            .map(|sid| room.host(n).sh(&format!("cat /var/log/orapipe/{sid}/archive.jsonl")).unwrap())
            .collect();
        assert_eq!(collected(room, NAMES[n - 1]), own);
    }
    let html = std::fs::read_to_string(room.dir().join("report/fleet.html")).unwrap();
    for part in ["4 databases on 3 hosts", "PROD@db1.example.com", "TEST@db1", "FIN@db2", "RH@db3", "SUCCESS"]
    {
        assert!(html.contains(part), "{part} is not in the report");
    }
}

/// TEST failed, FIN is in the middle of a run, PROD has not run for days, db3 does not answer.
fn report_of_a_bad_day(control: &Control<'_>, room: &Room) {
    let (one, two) = (room.host(1), room.host(2));
    dump(one, "TEST", "missing");
    let jobs = one.crontab().unwrap();
    assert!(!one.cron(&jobs[1]).unwrap().status.success());
    one.sh("cd /var/log/orapipe/PROD && sed -i 's/\"ts\":\"20[0-9][0-9]/\"ts\":\"2020/' archive.jsonl")
        .unwrap();
    // It runs still: its run_begin is there, its process too. The run before it counts.
    let running = "cp /bin/sleep /tmp/zip-rotate && { /tmp/zip-rotate 300 >/dev/null 2>&1 & } && \
                   line=$(head -n 1 /var/log/orapipe/FIN/archive.jsonl) && \
                   printf '%s\\n' \"$line\" | sed \"s/-[0-9]*\\\",\\\"ts/-$!\\\",\\\"ts/\" >>/var/log/orapipe/FIN/archive.jsonl";
    two.sh(running).unwrap();
    let bad = control.play("collect.yml", &[]).unwrap().expect(2).unwrap();
    for part in ["no answer from db3", "fleet.html"] {
        assert!(bad.text.contains(part), "{part}: {}", bad.text);
    }
    assert!(collected(room, "db3").contains("\"level\": \"error\""), "{}", collected(room, "db3"));
    assert_eq!(collected(room, "db2").lines().filter(|l| l.contains("run_begin")).count(), 1);
    let html = std::fs::read_to_string(room.dir().join("report/fleet.html")).unwrap();
    for part in [
        "CRITICAL FAILURE",
        "db3.example.com (RH)",
        "zip-rotate PROD@db1.example.com",
        "TEST@db1.example.com",
        "did not answer",
    ] {
        assert!(html.contains(part), "{part} is not in the report:\n{html}");
    }
    assert!(!html.contains("began and never ended"), "{html}");
    // The worst come first, and who is well is said too.
    let at = |name: &str| html.find(&format!("<b>{name}")).unwrap_or_else(|| panic!("{name} has no line"));
    assert!(at("TEST@db1.example.com") < at("FIN@db2.example.com"));
    let last = std::fs::read_to_string(room.dir().join("report/fleet.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((last["tool"].as_str(), last["exit"].as_i64()), (Some("mailreport"), Some(2)));
}

/// Everything goes but state, records and backups; a second time there is nothing to do.
fn removal(control: &Control<'_>, room: &Room) {
    room.host(1).sh("echo DEST_HOST=by-hand >/etc/orapipe/TEST.env").unwrap();
    let gone = control.play("remove.yml", &["--limit", "db1,db2", "--diff"]).unwrap().expect(0).unwrap();
    assert_eq!(room.host(1).sh("cat /etc/orapipe/TEST.env").unwrap(), "DEST_HOST=by-hand\n");
    room.host(1).sh("rm /etc/orapipe/TEST.env").unwrap();
    assert!(gone.changed("db1") > 0 && gone.changed("db2") > 0, "{}", gone.text);
    for n in 1..=2 {
        let host = room.host(n);
        let left = "ls -d /etc/orapipe/*.env /etc/orapipe/jobs /etc/cron.d/orapipe* /etc/logrotate.d/orapipe* /usr/bin/arch-ship \
                    /etc/systemd/system/orapipe-*.d/* /etc/systemd/system/*.target.wants/orapipe-* 2>/dev/null || true";
        assert_eq!(host.sh(left).unwrap(), "", "db{n}");
        assert_eq!(
            host.sh("dpkg-query -W -f '${db:Status-Status}' orapipe 2>/dev/null || echo none")
                .unwrap()
                .trim(),
            "none"
        );
        assert!(!host.sh("ls /var/log/orapipe/*/archive.jsonl /var/lib/orapipe").unwrap().is_empty());
    }
    let again = control.play("remove.yml", &["--limit", "db1,db2"]).unwrap().expect(0).unwrap();
    assert_eq!(changes(&again), [0, 0, 0], "{}", again.text);
    let purged = control.play("remove.yml", &["--limit", "db1", "-e", "orapipe_purge=true"]).unwrap();
    purged.expect(0).unwrap();
    assert_eq!(room.host(1).sh("ls -d /var/log/orapipe /var/lib/orapipe 2>/dev/null || true").unwrap(), "");
}
