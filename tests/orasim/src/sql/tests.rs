//! SELECT as Oracle: what runs, what is refused and with which code.

use super::fixture::Fixed;
use super::nls::Nls;
use super::{run, Cell, Head, Outcome, Session, Shape, SqlError};
use crate::engine::State;

fn go(sql: &str) -> Result<(Vec<Head>, Vec<Vec<String>>), SqlError> {
    let mut session = Session::sysdba(Nls::american());
    match run(&Fixed::default(), &mut session, sql)? {
        Outcome::Rows { heads, rows } => Ok((
            heads,
            rows.into_iter()
                .map(|r| {
                    r.into_iter()
                        .map(|c| match c {
                            Cell::Null => "<null>".into(),
                            Cell::Number(t) | Cell::Text(t) => t,
                        })
                        .collect()
                })
                .collect(),
        )),
        other => panic!("{other:?}"),
    }
}

fn one(sql: &str) -> String {
    match go(sql) {
        Ok((_, rows)) => rows.iter().map(|r| r.join("|")).collect::<Vec<_>>().join("\n"),
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

fn code(sql: &str) -> u32 {
    match go(sql) {
        Ok((_, rows)) => panic!("{sql} ran: {rows:?}"),
        Err(error) => error.error.code(),
    }
}

#[test]
fn selects() {
    assert_eq!(one("select name, to_char(current_scn) from v$database"), "ORCL|959994799549");
    assert_eq!(
        one("select 'R|'||file#||'|'||bytes||'|'||null||name r from v$datafile where file# = '2'"),
        "R|2|16384|/u01/f2.dbf"
    );
    assert_eq!(one("select count(*) from v$archived_log where name is null"), "1");
    assert_eq!(one("select nvl(name,'-'), decode(sequence#,3,'three','other') from v$archived_log where sequence# in (2,3)"),
        "/arch/1_2_9.arc|other\n-|three");
    assert_eq!(one("select t.name, count(*) n from v$datafile d join v$tablespace t on t.ts# = d.ts# group by t.name order by 2 desc, t.name"),
        "USERS|7\nVendas 2026|7\nSYSTEM|6");
    assert_eq!(
        one("select t.name from v$tablespace t, v$datafile d where d.ts# = t.ts# and d.file# = 4"),
        "Vendas 2026"
    );
    assert_eq!(
        one("select to_char(created,'YYYY-MM-DD\"T\"HH24:MI:SS'), created from v$database"),
        "2026-10-04T10:09:01|04-OCT-26"
    );
    assert_eq!(one("select to_char(created + 1/24, 'HH24:MI') from v$database"), "11:09");
    assert_eq!(one("with l as (select sequence# s, lag(sequence#) over (partition by thread# order by sequence#) p from v$archived_log where sequence# <> 5) select p+1 from l where s - p > 1"), "5");
    assert_eq!(one("select sequence# from v$archived_log minus select sequence# from v$archived_log where sequence# < 10"), "10");
    assert_eq!(
        one("select listagg(name, ',') within group (order by name desc) from v$tablespace"),
        "Vendas 2026,USERS,SYSTEM"
    );
    assert_eq!(one("select file# from v$datafile order by file# desc fetch first 2 rows only"), "20\n19");
    assert_eq!(
        one("select * from (select file# from v$datafile order by file# desc) where rownum <= 2"),
        "20\n19"
    );
    assert_eq!(one("select file# from v$datafile where rownum < 3 order by file# desc"), "2\n1");
    assert_eq!(one("select dummy from dual where '' is null and dummy = 'X'"), "X");
    assert_eq!(one("select name from sys.v_$tablespace where ts# = 0 union all select to_char(inst_id) from gv$instance"), "SYSTEM\n1");
    assert_eq!(one("select level from dual connect by level <= 3"), "1\n2\n3");
    assert_eq!(
        one("select max(sequence#)+1, min(first_change#) from v$archived_log group by thread#"),
        "11|100"
    );
    assert_eq!(one("select sys_context('USERENV','INSTANCE_NAME'), user from dual"), "orcl|SYS");
    assert_eq!(
        one("select case when 1=1 then 'a' end, nvl2(null,1,2), 7/2, 1/3 from dual"),
        "a|2|3.5|.333333333333333"
    );
    assert_eq!(one("select name from v$tablespace a where exists (select 1 from v$datafile d where d.ts# = a.ts# and d.file# = 2)"), "USERS");
    assert_eq!(
        one("select a.\"FILE#\" from v$datafile a where a.name like '/u01/f1_.dbf' and rownum = 1"),
        "10"
    );
    assert_eq!(
        one("select trunc(to_date('2026-01-02 03','YYYY-MM-DD HH24')) - date '2026-01-01' from dual"),
        "1"
    );
    assert_eq!(one("select substr(name, instr(name,'/',-1)+1) from v$datafile where file# = 1"), "f1.dbf");
    assert_eq!(one("select q'[it's]' from dual"), "it's");
    assert_eq!(one("select distinct ts# from v$datafile order by 1 desc nulls last"), "2\n1\n0");
    assert_eq!(one("select ceil(1.2), floor(1.8), mod(7,4), round(2.567,1) from dual"), "2|1|3|2.6");
    assert_eq!(one("select thread#, sequence# from v$archived_log where (thread#, sequence#) in (select 1, 4 from dual)"), "1|4");
    assert_eq!(one("select name from v$datafile where regexp_like(name, 'F7\\.', 'i')"), "/u01/f7.dbf");
}

#[test]
fn heads_and_widths() {
    let (heads, _) = go("select to_char(max(sequence#)) , name n, count( * ), created from v$archived_log, v$database group by created, v$archived_log.name").unwrap_or_default();
    assert!(heads.is_empty(), "name is ambiguous");
    let (heads, _) = go("select to_char(max(sequence#)) , upper('ab')||'c', created from v$archived_log, v$database group by created").unwrap();
    let shown: Vec<_> = heads.iter().map(|h| (h.name.as_str(), h.shape)).collect();
    assert_eq!(
        shown,
        [
            ("TO_CHAR(MAX(SEQUENCE#))", Shape::Text(40)),
            ("UPPER('ab')||'C'".replace("'C'", "'c'").as_str(), Shape::Text(3)),
            ("CREATED", Shape::Date)
        ]
    );
}

#[test]
fn oracle_refuses() {
    for (sql, want) in [
        ("select * from nope", 942),
        ("select nope from v$database", 904),
        ("select d.nope from v$database d", 904),
        ("select \"name\" from v$database", 904),
        ("select name from v$database, v$tablespace", 918),
        ("select name v$database", 923),
        ("select 1", 923),
        ("select name from v$database limit 1", 933),
        ("select name from v$database as d", 933),
        ("select name from v$database d where name == 'X'", 936),
        ("select name, from v$database", 936),
        ("select name from v$database where", 936),
        ("select upper(name from v$database", 907),
        ("select name from v$database order by 3", 1785),
        ("select name from v$database garbage here", 933),
        ("select name from v$database where name", 920),
        ("select name from v$database where 1", 920),
        ("select ifnull(name,'x') from v$database", 904),
        ("select group_concat(name) from v$database", 904),
        ("select strftime('%s','now') from dual", 904),
        ("select date('now') from dual", 904),
        ("select length(1,2) from dual", 939),
        ("select name, count(*) from v$database", 937),
        ("select name, log_mode, count(*) from v$database group by name", 979),
        ("select name from v$database where count(*) > 1", 934),
        ("select name n from v$database where n = 'ORCL'", 904),
        ("select 'x from dual", 1756),
        ("select to_number('x') from dual", 1722),
        ("select name from v$database where name = 1", 1722),
        ("select to_date('2026-13-01','YYYY-MM-DD') from dual", 1843),
        ("select to_date('2026-02-20') from dual", 1861),
        ("select to_date('0000-01-01','YYYY-MM-DD') from dual", 1841),
        ("select 1/0 from dual", 1476),
        ("select [name] from v$database", 911),
        ("select name from v$database;", 911),
        ("select *, 1 from v$database", 923),
        ("select name from v$database union select dbid from v$database", 1790),
        ("select name from v$database union select 1, 2 from dual", 1789),
        ("select name from v$database except select 'x' from dual", 933),
        ("select :b from dual", 1008),
        ("select rowid_ from dual", 904),
        ("select sequence# from v$archived_log connect by prior sequence# = sequence#", 3001),
        ("selec name from v$database", 900),
        ("select name from", 903),
        ("select case name when 1 then 'a' else 2 end from v$database", 932),
        ("values (1)", 900),
        ("select true from dual", 904),
    ] {
        let got = match go(sql) {
            Ok((_, rows)) => panic!("{sql} ran: {rows:?}"),
            Err(error) => error.error.code(),
        };
        assert_eq!(got, want, "{sql}");
    }
}

#[test]
fn marks_the_place() {
    let error = go("select name,\n       nope\n from v$database").unwrap_err();
    assert_eq!(error.at, Some((2, 8)));
    assert_eq!(error.error.stack[0].1, "\"NOPE\": invalid identifier");
    assert_eq!(go("select *\n  from nope").unwrap_err().at, Some((2, 8)));
    assert_eq!(code("select 1 from nope"), 942);
}

#[test]
fn states() {
    let engine = Fixed::default();
    let mut session = Session::sysdba(Nls::american());
    let mut code = |state, sql: &str| {
        *engine.state.lock().unwrap() = state;
        run(&engine, &mut session, sql).map_or_else(|e| e.error.code(), |_| 0)
    };
    assert_eq!(code(State::Down, "select * from dual"), 1034);
    assert_eq!(code(State::Down, "garbage"), 1034);
    assert_eq!(code(State::Nomount, "select name from v$database"), 1507);
    assert_eq!(code(State::Mounted, "select tablespace_name from dba_tablespaces"), 1219);
    assert_eq!(code(State::Mounted, "select name from v$database"), 0);
    assert_eq!(code(State::Open, "select tablespace_name from dba_tablespaces"), 0);
}

#[test]
fn blocks() {
    let engine = Fixed::default();
    let mut session = Session::sysdba(Nls::american());
    let mut go = |sql: &str| run(&engine, &mut session, sql);
    assert_eq!(
        go("begin dbms_output.put_line('a'||1); execute immediate 'alter tablespace users begin backup'; null; end;"),
        Ok(Outcome::Block { output: vec!["a1".into()] })
    );
    assert_eq!(engine.active.lock().unwrap().as_slice(), ["USERS"]);
    let error = go("begin execute immediate 'alter tablespace users begin backup'; end;").unwrap_err().error;
    assert_eq!(error.stack.iter().map(|s| s.0).collect::<Vec<_>>(), [1146, 1110, 6512]);
    assert_eq!(go("begin foo; end;").unwrap_err().error.code(), 6550);
    assert_eq!(go("begin null; end").unwrap_err().error.code(), 6550);
}

#[test]
fn ten_thousand_logs_are_quick() {
    let start = std::time::Instant::now();
    for _ in 0..50 {
        one("select count(*) from v$archived_log");
    }
    assert!(start.elapsed().as_millis() < 2000, "{:?}", start.elapsed());
}
