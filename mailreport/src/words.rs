//! The words of a mail, in each language.

use common::exit::Exit;

use crate::cli::Language;
use crate::facts::Kind;
use crate::protection::Asset;
use crate::verdict::Verdict;

/// Headings and labels.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    pub code: &'static str,
    pub on: &'static str,
    pub rehearsal: &'static str,
    pub protected: &'static str,
    pub nothing_protected: &'static str,
    pub standby: &'static str,
    pub lag: &'static str,
    pub behind: &'static str,
    pub copy: &'static str,
    pub drill: &'static str,
    pub opened_at: &'static str,
    pub never_opened: &'static str,
    pub open_for: &'static str,
    pub queries: &'static str,
    pub goes_on: &'static str,
    pub goes_not_on: &'static str,
    pub by: &'static str,
    pub evidence: &'static str,
    pub instead_of: &'static str,
    pub redo_needed: &'static str,
    pub thread: &'static str,
    pub applied: &'static str,
    pub received: &'static str,
    pub archived: &'static str,
    pub last_good: &'static str,
    pub this_run: &'static str,
    pub ago: &'static str,
    pub ahead: &'static str,
    pub success_rate: &'static str,
    pub done: &'static str,
    pub partial: &'static str,
    pub failed: &'static str,
    pub skipped: &'static str,
    pub of: &'static str,
    pub problems: &'static str,
    pub more: &'static str,
    pub hint: &'static str,
    pub tools: &'static str,
    pub tool: &'static str,
    pub duration: &'static str,
    pub result: &'static str,
    pub more_runs: &'static str,
    pub statistics: &'static str,
    pub what: &'static str,
    pub size: &'static str,
    pub last_runs: &'static str,
    pub date: &'static str,
    pub successful: &'static str,
    pub log: &'static str,
    pub records: &'static str,
    pub bad_lines: &'static str,
    pub unknown: &'static str,
    pub warnings: &'static str,
    pub errors: &'static str,
    pub planned: &'static str,
    pub gaps: &'static str,
    pub died: &'static str,
    pub missing: &'static str,
    pub nothing_reported: &'static str,
    pub databases: &'static str,
    pub all_databases: &'static str,
    pub host: &'static str,
    pub hosts: &'static str,
    pub run: &'static str,
    pub test: &'static str,
    pub test_text: &'static str,
    pub shortened: &'static str,
    pub times: &'static str,
}

const EN: Words = Words {
    code: "en",
    on: "on",
    rehearsal: "dry run",
    protected: "What is protected now",
    nothing_protected: "No good backup is known. Without --history only this run counts.",
    standby: "Standby recoverable to",
    lag: "behind",
    behind: "not yet there",
    copy: "Hot copy",
    drill: "Drill of the standby",
    opened_at: "opened at",
    never_opened: "not opened",
    open_for: "open for",
    queries: "queries passed",
    goes_on: "recovery goes on",
    goes_not_on: "recovery was NOT seen to go on",
    by: "by",
    evidence: "evidence",
    instead_of: "instead of",
    redo_needed: "needs redo from SCN",
    thread: "thread",
    applied: "applied",
    received: "received",
    archived: "archived",
    last_good: "Last good backup",
    this_run: "this run",
    ago: "ago",
    ahead: "in the future: a clock was set",
    success_rate: "Success rate",
    done: "done",
    partial: "partial",
    failed: "failed",
    skipped: "skipped",
    of: "of",
    problems: "What failed",
    more: "and {} more",
    hint: "Hint",
    tools: "Tools",
    tool: "Tool",
    duration: "Duration",
    result: "Result",
    more_runs: "and {} more runs",
    statistics: "Statistics",
    what: "What",
    size: "Size",
    last_runs: "Last runs",
    date: "Date",
    successful: "successful",
    log: "Last lines of the log",
    records: "records",
    bad_lines: "unreadable lines",
    unknown: "of unknown type",
    warnings: "warnings",
    errors: "errors",
    planned: "planned actions; nothing was changed",
    gaps: "gaps in the redo",
    died: "began and never ended: it died",
    missing: "was expected and never reported",
    nothing_reported: "No tool reported anything: the first one did not start, or its output was lost.",
    databases: "databases",
    all_databases: "Databases",
    host: "host",
    hosts: "hosts",
    run: "run",
    test: "TEST: the mail of orapipe works",
    test_text: "This is a test. Whoever reads it receives the reports of this host.",
    shortened: "Shortened, so that the mail stays below 100 KB.",
    times: "Times are those of",
};

const PT: Words = Words {
    code: "pt-BR",
    on: "em",
    rehearsal: "simulação",
    protected: "O que está protegido agora",
    nothing_protected: "Nenhum backup bom é conhecido. Sem --history só esta execução conta.",
    standby: "Standby recuperável até",
    lag: "de atraso",
    behind: "ainda não chegaram",
    copy: "Cópia a quente",
    drill: "Teste do standby",
    opened_at: "aberto no",
    never_opened: "não foi aberto",
    open_for: "aberto por",
    queries: "consultas corretas",
    goes_on: "a recuperação continua",
    goes_not_on: "NÃO se viu a recuperação continuar",
    by: "por",
    evidence: "evidência",
    instead_of: "em vez de",
    redo_needed: "precisa do redo do SCN",
    thread: "thread",
    applied: "aplicada",
    received: "recebida",
    archived: "arquivada",
    last_good: "Último backup bom",
    this_run: "esta execução",
    ago: "atrás",
    ahead: "no futuro: um relógio foi acertado",
    success_rate: "Taxa de sucesso",
    done: "concluídos",
    partial: "parciais",
    failed: "com falha",
    skipped: "ignorados",
    of: "de",
    problems: "O que falhou",
    more: "e mais {}",
    hint: "Dica",
    tools: "Ferramentas",
    tool: "Ferramenta",
    duration: "Duração",
    result: "Resultado",
    more_runs: "e mais {} execuções",
    statistics: "Estatísticas",
    what: "O quê",
    size: "Tamanho",
    last_runs: "Últimas execuções",
    date: "Data",
    successful: "com sucesso",
    log: "Últimas linhas do log",
    records: "registros",
    bad_lines: "linhas ilegíveis",
    unknown: "de tipo desconhecido",
    warnings: "avisos",
    errors: "erros",
    planned: "ações planejadas; nada foi alterado",
    gaps: "lacunas no redo",
    died: "começou e nunca terminou: morreu",
    missing: "era esperado e não deu notícia",
    nothing_reported: "Nenhuma ferramenta deu notícia: a primeira não iniciou, ou a saída dela se perdeu.",
    databases: "bancos",
    all_databases: "Bancos de dados",
    host: "servidor",
    hosts: "servidores",
    run: "execução",
    test: "TESTE: o e-mail do orapipe funciona",
    test_text: "Isto é um teste. Quem o lê recebe os relatórios deste servidor.",
    shortened: "Encurtado, para que o e-mail fique abaixo de 100 KB.",
    times: "Os horários são os de",
};

pub fn words(language: Language) -> &'static Words {
    match language {
        Language::En => &EN,
        Language::Pt => &PT,
    }
}

/// The verdict as the subject begins with it.
pub fn verdict(language: Language, verdict: Verdict) -> &'static str {
    match (language, verdict) {
        (Language::En, Verdict::Success) => "SUCCESS",
        (Language::En, Verdict::Partial) => "PARTIAL",
        (Language::En, Verdict::Critical) => "CRITICAL FAILURE",
        (Language::Pt, Verdict::Success) => "SUCESSO",
        (Language::Pt, Verdict::Partial) => "PARCIAL",
        (Language::Pt, Verdict::Critical) => "FALHA CRÍTICA",
    }
}

/// The verdict in a column.
pub fn mark(language: Language, verdict: Verdict) -> &'static str {
    match (language, verdict) {
        (_, Verdict::Success) => "ok",
        (Language::En, Verdict::Partial) => "PARTIAL",
        (Language::En, Verdict::Critical) => "FAILED",
        (Language::Pt, Verdict::Partial) => "PARCIAL",
        (Language::Pt, Verdict::Critical) => "FALHA",
    }
}

/// An exit status in a few words.
pub fn exit(language: Language, exit: Exit) -> &'static str {
    let (en, pt) = match exit {
        Exit::Success => ("success", "sucesso"),
        Exit::Partial => ("partial", "parcial"),
        Exit::Failed => ("failed", "falhou"),
        Exit::Bug => ("unexpected error", "erro inesperado"),
        Exit::Refused => ("refused", "recusado"),
        Exit::Finding => ("found a problem", "encontrou um problema"),
        Exit::Usage => ("wrong usage or configuration", "uso ou configuração incorretos"),
        Exit::TryAgain => ("not done: try again", "não feito: tente de novo"),
        Exit::TimedOut => ("time limit", "tempo esgotado"),
        Exit::Interrupted | Exit::Terminated => ("interrupted", "interrompido"),
    };
    match language {
        Language::En => en,
        Language::Pt => pt,
    }
}

/// The name of a kind of items.
pub fn kind(language: Language, kind: Kind) -> &'static str {
    let (en, pt) = match kind {
        Kind::Export => ("Schema exports", "Exportações de schema"),
        Kind::Dump => ("Dump files", "Arquivos de dump"),
        Kind::BackupPiece => ("Backup pieces", "Peças de backup"),
        Kind::Archive => ("ZIP archives", "Arquivos ZIP"),
        Kind::Object => ("Objects in S3", "Objetos no S3"),
        Kind::Tablespace => ("Tablespaces", "Tablespaces"),
        Kind::Datafile => ("Datafiles", "Datafiles"),
        Kind::ArchivedLog => ("Archived logs", "Archived logs"),
        Kind::Snapshot => ("Snapshots", "Snapshots"),
        Kind::Drill => ("Drills of the standby", "Testes do standby"),
        Kind::File => ("Other files", "Outros arquivos"),
        Kind::Gap => ("Gaps", "Lacunas"),
        Kind::Line => ("Input lines", "Linhas da entrada"),
        Kind::Run => ("Runs", "Execuções"),
        Kind::Removed => ("Removed by retention", "Removidos pela retenção"),
        Kind::Kept => ("Kept by retention", "Mantidos pela retenção"),
    };
    match language {
        Language::En => en,
        Language::Pt => pt,
    }
}

/// The name of one item of a kind.
pub fn item(language: Language, kind: Kind) -> &'static str {
    let (en, pt) = match kind {
        Kind::Export => ("Export", "Exportação"),
        Kind::Dump => ("Dump", "Dump"),
        Kind::BackupPiece => ("Backup piece", "Peça de backup"),
        Kind::Archive => ("Archive", "Arquivo ZIP"),
        Kind::Object => ("Object", "Objeto"),
        Kind::Tablespace => ("Tablespace", "Tablespace"),
        Kind::Datafile => ("Datafile", "Datafile"),
        Kind::ArchivedLog => ("Archived log", "Archived log"),
        Kind::Snapshot => ("Snapshot", "Snapshot"),
        Kind::Drill => ("Drill", "Teste do standby"),
        Kind::File | Kind::Removed | Kind::Kept => ("File", "Arquivo"),
        Kind::Gap => ("Gap", "Lacuna"),
        Kind::Line => ("Input line", "Linha da entrada"),
        Kind::Run => ("Tool", "Ferramenta"),
    };
    match language {
        Language::En => en,
        Language::Pt => pt,
    }
}

/// The name of a kind of backup.
pub fn asset(language: Language, asset: &Asset) -> String {
    let (en, pt) = match asset {
        Asset::Full => ("RMAN full (level 0)", "RMAN completo (nível 0)"),
        Asset::Incremental => ("RMAN incremental (level 1)", "RMAN incremental (nível 1)"),
        Asset::ArchivedLogs => ("RMAN archived logs", "RMAN archived logs"),
        Asset::Controlfile => ("RMAN control file", "RMAN control file"),
        Asset::HotCopy => ("Hot copy of the datafiles", "Cópia a quente dos datafiles"),
        Asset::Redo => ("Redo at the standby", "Redo no standby"),
        Asset::Export(schema) => {
            return match language {
                Language::En => format!("Export of {schema}"),
                Language::Pt => format!("Exportação de {schema}"),
            };
        }
        Asset::Archive => ("ZIP archive", "Arquivo ZIP"),
        Asset::Object => ("Upload to S3", "Envio ao S3"),
        Asset::DataSnapshot => ("Snapshot of the data volumes", "Snapshot dos volumes de dados"),
        Asset::ArchiveSnapshot => ("Snapshot of the archive volumes", "Snapshot dos volumes de archive"),
        Asset::Drill => ("Drill of the standby", "Teste do standby"),
    };
    match language {
        Language::En => en,
        Language::Pt => pt,
    }
    .to_owned()
}
