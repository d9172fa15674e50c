//! What SQL*Plus and the server say, in English and in Brazilian Portuguese.
//!
//! A text that has no translation here stays English: real installations mix the two as well.

use crate::sql::nls::Language;
use crate::sql::Done;

/// English text, Portuguese text. `{}` takes the arguments in order.
type Pair = (&'static str, &'static str);

pub const NO_ROWS: Pair = ("no rows selected", "não há linhas selecionadas");
pub const ONE_ROW: Pair = ("1 row selected.", "1 linha selecionada.");
pub const ROWS: Pair = ("{} rows selected.", "{} linhas selecionadas.");
pub const ERROR_AT: Pair = ("ERROR at line {}:", "ERRO na linha {}:");
pub const ERROR: Pair = ("ERROR:", "ERROR:");
pub const CONNECTED: Pair = ("Connected.", "Conectado.");
pub const IDLE: Pair = ("Connected to an idle instance.", "Conectado a uma instância inativa.");
pub const LOST: Pair = (
    "Warning: You are no longer connected to ORACLE.",
    "Advertência: Você não está mais conectado ao ORACLE.",
);
pub const BLOCK: Pair =
    ("PL/SQL procedure successfully completed.", "Procedimento PL/SQL concluído com sucesso.");
pub const STARTED: Pair = ("ORACLE instance started.", "Instância ORACLE iniciada.");
pub const MOUNTED: Pair = ("Database mounted.", "Banco de dados montado.");
pub const OPENED: Pair = ("Database opened.", "Banco de dados aberto.");
pub const CLOSED: Pair = ("Database closed.", "Banco de dados fechado.");
pub const DISMOUNTED: Pair = ("Database dismounted.", "Banco de dados desmontado.");
pub const SHUT_DOWN: Pair = ("ORACLE instance shut down.", "Instância ORACLE desativada.");
pub const RECOVERED: Pair = ("Media recovery complete.", "Recuperação de mídia concluída.");
pub const CANCELLED: Pair = ("Media recovery cancelled.", "Recuperação de mídia cancelada.");
pub const SPECIFY: Pair = (
    "Specify log: {<RET>=suggested | filename | AUTO | CANCEL}",
    "Especificar log: {<RET>=sugerido | nome do arquivo | AUTO | CANCEL}",
);
pub const USER_NAME: Pair = ("Enter user-name: ", "Informe o nome do usuário: ");
pub const PASSWORD: Pair = ("Enter password: ", "Informe a senha: ");
pub const VALUE: Pair = ("Enter value for {}: ", "Informe o valor para {}: ");
pub const OLD: Pair = ("old {}: {}", "antigo {}: {}");
pub const NEW: Pair = ("new {}: {}", "novo {}: {}");
pub const UNKNOWN_BEGINNING: Pair = (
    "SP2-0734: unknown command beginning \"{}\" - rest of line ignored.",
    "SP2-0734: início de comando desconhecido \"{}\" - restante da linha ignorado.",
);
pub const UNKNOWN: Pair = (
    "SP2-0042: unknown command \"{}\" - rest of line ignored.",
    "SP2-0042: comando desconhecido \"{}\" - restante da linha ignorado.",
);
pub const HELP: Pair = (
    "SP2-0044: For a list of known commands enter HELP\nand to leave enter EXIT.",
    "SP2-0044: P/lista comandos conhec., informe HELP\n. P/sair, informe EXIT.",
);
pub const NOT_CONNECTED: Pair = ("SP2-0640: Not connected", "SP2-0640: Não conectado");
pub const UNABLE: Pair = (
    "SP2-0751: Unable to connect to Oracle.  Exiting SQL*Plus",
    "SP2-0751: Não é possível conectar-se ao Oracle.  Saindo do SQL*Plus",
);
pub const AFTER_THREE: Pair = (
    "SP2-0157: unable to CONNECT to ORACLE after 3 attempts, exiting SQL*Plus",
    "SP2-0157: não é possível CONECTAR ao ORACLE após 3 tentativas, saindo do SQL*Plus",
);
pub const ELAPSED: Pair = ("Elapsed: {}", "Decorrido: {}");
pub const DISCONNECTED: Pair = ("Disconnected from {}", "Desconectado de {}");

/// The text of a message in the language, with its arguments.
pub fn say(pair: Pair, language: Language, args: &[&str]) -> String {
    let mut text = String::new();
    let template = if language == Language::Brazilian { pair.1 } else { pair.0 };
    let mut rest = template;
    for arg in args {
        match rest.split_once("{}") {
            Some((before, after)) => {
                text.push_str(before);
                text.push_str(arg);
                rest = after;
            }
            None => break,
        }
    }
    text + rest
}

/// The line after a successful statement.
pub fn done(what: Done, language: Language) -> String {
    let pair = match what {
        Done::Pluggable => ("Pluggable database altered.", "Banco de dados plugável alterado."),
        Done::Database => ("Database altered.", "Banco de dados alterado."),
        Done::System => ("System altered.", "Sistema alterado."),
        Done::Session => ("Session altered.", "Sessão alterada."),
        Done::Tablespace => ("Tablespace altered.", "Tablespace alterado."),
        Done::TablespaceCreated => ("Tablespace created.", "Tablespace criado."),
        Done::TablespaceDropped => ("Tablespace dropped.", "Tablespace eliminado."),
        Done::TableDropped => ("Table dropped.", "Tabela eliminada."),
        Done::FileCreated => ("File created.", "Arquivo criado."),
        Done::Commit => ("Commit complete.", "Commit concluído."),
        Done::Rollback => ("Rollback complete.", "Rollback concluído."),
    };
    say(pair, language, &[])
}

/// Server messages: code, English pattern, Portuguese pattern.
const SERVER: &[(u32, &str, &str)] = &[
    (942, "table or view does not exist", "a tabela ou view não existe"),
    (904, "{}: invalid identifier", "{}: identificador inválido"),
    (900, "invalid SQL statement", "instrução SQL inválida"),
    (911, "invalid character", "caractere inválido"),
    (923, "FROM keyword not found where expected", "palavra-chave FROM não localizada onde esperada"),
    (933, "SQL command not properly ended", "comando SQL não encerrado adequadamente"),
    (936, "missing expression", "expressão não encontrada"),
    (959, "tablespace '{}' does not exist", "tablespace '{}' não existe"),
    (1017, "invalid username/password; logon denied", "senha/nome do usuário inválido; log-on negado"),
    (1031, "insufficient privileges", "privilégios insuficientes"),
    (1109, "database not open", "banco de dados não aberto"),
    (1110, "data file {}: '{}'", "arquivo de dados {}: '{}'"),
    (1113, "file {} needs media recovery", "o arquivo {} necessita de recuperação de mídia"),
    (
        1123,
        "cannot start online backup; media recovery not enabled",
        "não é possível iniciar backup on-line; recuperação de mídia não ativada",
    ),
    (
        1142,
        "cannot end online backup - none of the files are in backup",
        "não é possível finalizar backup on-line - nenhum dos arquivos está em backup",
    ),
    (
        1146,
        "cannot start online backup - file {} is already in backup",
        "não é possível iniciar backup on-line - arquivo {} já está em backup",
    ),
    (
        1149,
        "cannot shutdown - file {} has online backup set",
        "não é possível fazer shutdown - arquivo {} tem o backup on-line definido",
    ),
    (1507, "database not mounted", "banco de dados não montado"),
    (1722, "invalid number", "número inválido"),
    (28001, "the password has expired", "a senha expirou"),
    (28002, "the password will expire within {} days", "a senha vai expirar dentro de {} dias"),
];

/// A server message in the session's language, if the simulator has it.
pub fn server(code: u32, text: &str, language: Language) -> String {
    if language == Language::American {
        return text.into();
    }
    let Some((_, english, other)) = SERVER.iter().find(|(c, ..)| *c == code) else { return text.into() };
    // The arguments are what stands between the fixed pieces of the English text.
    let mut args = Vec::new();
    let mut rest = text;
    let mut pieces = english.split("{}");
    match pieces.next().and_then(|first| rest.strip_prefix(first)) {
        Some(tail) => rest = tail,
        None => return text.into(),
    }
    for piece in pieces {
        let at = if piece.is_empty() { Some(rest.len()) } else { rest.find(piece) };
        let Some(at) = at else { return text.into() };
        args.push(&rest[..at]);
        rest = &rest[at + piece.len()..];
    }
    say((other, other), Language::American, &args) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates() {
        let pt = |code, text| server(code, text, Language::Brazilian);
        assert_eq!(pt(1110, "data file 7: '/u01/x.dbf'"), "arquivo de dados 7: '/u01/x.dbf'");
        assert_eq!(pt(904, "\"NOPE\": invalid identifier"), "\"NOPE\": identificador inválido");
        assert_eq!(pt(279, "change 1"), "change 1");
        assert_eq!(say(ROWS, Language::Brazilian, &["8"]), "8 linhas selecionadas.");
    }
}
