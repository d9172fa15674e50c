//! Function calls: aggregates, analytic functions, and the catalogue of [`super::functions`].

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, NullTreatment,
    Spanned, WindowFrameBound, WindowType,
};

use super::emit::{place, quoted, refuse, unimplemented, Emitted, Emitter, Scope, Ty, Typed};
use super::expr::{as_date, as_number, as_text, common, width};
use super::functions::{find, Ret};
use super::{format_date, format_number};

const AGGREGATES: [&str; 6] = ["COUNT", "MIN", "MAX", "SUM", "AVG", "LISTAGG"];
const ANALYTIC: [&str; 8] =
    ["ROW_NUMBER", "RANK", "DENSE_RANK", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTILE"];

fn typed(sql: impl Into<String>, ty: Ty) -> Typed {
    Typed { sql: sql.into(), ty }
}

fn literal_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(v) => v.value.clone().into_string(),
        _ => None,
    }
}

impl Emitter<'_> {
    pub(super) fn call(&mut self, function: &Function, scope: &Scope) -> Emitted<Typed> {
        let at = place(function.name.span());
        let full = function.name.to_string().to_uppercase();
        let name = full.strip_prefix("SYS.").unwrap_or(&full).to_string();
        let mut args: Vec<&Expr> = Vec::new();
        let mut star = false;
        let mut distinct = false;
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => {
                return unimplemented("a subquery as argument", place(query.span()))
            }
            FunctionArguments::List(list) => {
                if !list.clauses.is_empty() {
                    return refuse(907, "missing right parenthesis", at);
                }
                distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(expr),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => star = true,
                        _ => return refuse(936, "missing expression", at),
                    }
                }
            }
        }
        if function.filter.is_some() || function.uses_odbc_syntax {
            return refuse(923, "FROM keyword not found where expected", at);
        }
        if AGGREGATES.contains(&name.as_str()) || ANALYTIC.contains(&name.as_str()) {
            return self.group_function(&name, function, &args, star, distinct, scope);
        }
        if function.over.is_some() || !function.within_group.is_empty() {
            return refuse(30484, "missing window specification for this function", at);
        }
        if star {
            return refuse(936, "missing expression", at);
        }
        match name.as_str() {
            "TO_CHAR" => self.char_of(&args, scope, at),
            "DECODE" => self.decode(&args, scope, at),
            "NVL2" => {
                let [a, b, c] = args.as_slice() else {
                    return refuse(909, "invalid number of arguments", at);
                };
                let (a, b, c) = (self.value(a, scope)?, self.value(b, scope)?, self.value(c, scope)?);
                let ty = common(b.ty, c.ty, at)?;
                Ok(typed(format!("CASE WHEN {} IS NOT NULL THEN {} ELSE {} END", a.sql, b.sql, c.sql), ty))
            }
            "TRUNC" | "ROUND" if !args.is_empty() => {
                let first = self.value(args[0], scope)?;
                if first.ty == Ty::Date {
                    if name == "ROUND" {
                        return unimplemented("ROUND of a date", at);
                    }
                    return self.scalar("ORA_TRUNC_DATE", &args, scope, at);
                }
                self.scalar(&name, &args, scope, at)
            }
            "SYSDATE" | "SYSTIMESTAMP" if matches!(function.args, FunctionArguments::None) => {
                Ok(typed("O_USERENV('SYSDATE')", Ty::Date))
            }
            "CURRENT_DATE" | "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP"
                if matches!(function.args, FunctionArguments::None) =>
            {
                Ok(typed("O_USERENV('SYSDATE')", Ty::Date))
            }
            "USER" if matches!(function.args, FunctionArguments::None) => {
                Ok(typed("O_USERENV('SESSION_USER')", Ty::Text(128)))
            }
            "DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER" => self.current_scn(at),
            name if name.starts_with("ORA_") => refuse(904, format!("\"{name}\": invalid identifier"), at),
            name => self.scalar(name, &args, scope, at),
        }
    }

    fn current_scn(&mut self, at: (u64, u64)) -> Emitted<Typed> {
        match self.catalog.view("V$DATABASE") {
            Some(Ok(view)) => {
                self.tables.insert("V$DATABASE".into(), view);
                self.used.insert("CURRENT_SCN".into());
                Ok(typed("(SELECT \"CURRENT_SCN\" FROM \"V$DATABASE\")", Ty::Number))
            }
            _ => refuse(1109, "database not open", at),
        }
    }

    fn scalar(&mut self, name: &str, args: &[&Expr], scope: &Scope, at: (u64, u64)) -> Emitted<Typed> {
        let Some(function) = find(name) else {
            let shown: Vec<String> = name.split('.').map(quoted).collect();
            return refuse(904, format!("{}: invalid identifier", shown.join(".")), at);
        };
        if args.len() < function.least {
            return refuse(938, "not enough arguments for function", at);
        }
        if args.len() > function.most {
            return refuse(939, "too many arguments for function", at);
        }
        let mut out: Vec<Typed> = Vec::new();
        for (position, arg) in args.iter().enumerate() {
            let value = self.value(arg, scope)?;
            let kind = function.kinds.as_bytes().get(position).or(function.kinds.as_bytes().last()).copied();
            let wanted = match (kind, out.first()) {
                (Some(b's'), Some(first)) => match first.ty {
                    Ty::Number => b'n',
                    Ty::Date => b'd',
                    Ty::Text(_) => b't',
                    Ty::Null => b'a',
                },
                (kind, _) => kind.unwrap_or(b'a'),
            };
            out.push(match wanted {
                b'n' => match value.ty {
                    Ty::Date => {
                        return refuse(
                            932,
                            "inconsistent datatypes: expected NUMBER got DATE",
                            place(arg.span()),
                        )
                    }
                    _ => as_number(value),
                },
                // TO_DATE of a date converts it to text first, the classical way to lose the time of day.
                b't' => as_text(value),
                b'd' => match value.ty {
                    Ty::Number => {
                        return refuse(
                            932,
                            "inconsistent datatypes: expected DATE got NUMBER",
                            place(arg.span()),
                        )
                    }
                    _ => as_date(value),
                },
                _ => value,
            });
        }
        let widest = out.iter().map(|t| width(t.ty)).max().unwrap_or(0);
        let as_wide = |ty: Ty, n: usize| if let Ty::Text(_) = ty { Ty::Text(n) } else { ty };
        let ty = match function.ret {
            Ret::Number => Ty::Number,
            Ret::Date => Ty::Date,
            Ret::Text(n) if matches!(name, "LPAD" | "RPAD") => {
                Ty::Text(out.get(1).and_then(|t| t.sql.parse().ok()).unwrap_or(n))
            }
            Ret::Text(n) => Ty::Text(n),
            Ret::Arg(n) => out[n].ty,
            Ret::Sum => Ty::Text(out.iter().map(|t| width(t.ty)).sum::<usize>().min(4000)),
            Ret::Widest(n) => {
                let first = out[n..].iter().map(|t| t.ty).find(|t| *t != Ty::Null).unwrap_or(Ty::Null);
                as_wide(first, widest)
            }
        };
        let list: Vec<String> = out.into_iter().map(|t| t.sql).collect();
        Ok(typed(format!("O_{name}({})", list.join(", ")), ty))
    }

    fn char_of(&mut self, args: &[&Expr], scope: &Scope, at: (u64, u64)) -> Emitted<Typed> {
        if args.is_empty() {
            return refuse(938, "not enough arguments for function", at);
        }
        if args.len() > 3 {
            return refuse(939, "too many arguments for function", at);
        }
        let value = self.value(args[0], scope)?;
        let Some(format) = args.get(1) else { return Ok(as_text(value)) };
        let shape = as_text(self.value(format, scope)?);
        let known = literal_of(format);
        match value.ty {
            Ty::Date => {
                let width = known.as_deref().map_or(75, format_date::width);
                Ok(typed(format!("O_ORA_TEXT_DF({}, {})", value.sql, shape.sql), Ty::Text(width)))
            }
            _ => {
                let value = as_number(value);
                let width = known.as_deref().map_or(40, format_number::width);
                Ok(typed(format!("O_ORA_TEXT_NF({}, {})", value.sql, shape.sql), Ty::Text(width)))
            }
        }
    }

    fn decode(&mut self, args: &[&Expr], scope: &Scope, at: (u64, u64)) -> Emitted<Typed> {
        if args.len() < 3 {
            return refuse(938, "not enough arguments for function", at);
        }
        let subject = self.value(args[0], scope)?;
        let mut out = String::from("CASE");
        let mut ty = Ty::Null;
        let mut rest = &args[1..];
        let mut result = |emitter: &mut Self, expr: &Expr| -> Emitted<String> {
            let value = emitter.value(expr, scope)?;
            // The first result decides; later ones are converted to it.
            let value = match ty {
                Ty::Text(n) => {
                    let value = as_text(value);
                    ty = Ty::Text(n.max(width(value.ty)));
                    value
                }
                Ty::Number => as_number(value),
                Ty::Date => as_date(value),
                Ty::Null => {
                    ty = value.ty;
                    value
                }
            };
            Ok(value.sql)
        };
        while let [search, found, tail @ ..] = rest {
            let search = self.value(search, scope)?;
            let search = match subject.ty {
                Ty::Number => as_number(search),
                Ty::Date => as_date(search),
                Ty::Text(_) => as_text(search),
                Ty::Null => search,
            };
            // DECODE is the one place where NULL equals NULL.
            out.push_str(&format!(" WHEN {} IS {} THEN {}", subject.sql, search.sql, result(self, found)?));
            rest = tail;
        }
        if let [other] = rest {
            out.push_str(&format!(" ELSE {}", result(self, other)?));
        }
        Ok(typed(format!("{out} END"), ty))
    }

    fn group_function(
        &mut self,
        name: &str,
        function: &Function,
        args: &[&Expr],
        star: bool,
        distinct: bool,
        scope: &Scope,
    ) -> Emitted<Typed> {
        let at = place(function.name.span());
        let aggregate = AGGREGATES.contains(&name) && function.over.is_none();
        if ANALYTIC.contains(&name) && function.over.is_none() {
            return refuse(30484, "missing window specification for this function", at);
        }
        if aggregate && !self.aggregate_allowed {
            return refuse(934, "group function is not allowed here", at);
        }
        let arity = match name {
            "COUNT" | "MIN" | "MAX" | "SUM" | "AVG" | "FIRST_VALUE" | "LAST_VALUE" | "NTILE" => 1..=1,
            "LISTAGG" => 1..=2,
            "LAG" | "LEAD" => 1..=3,
            _ => 0..=0,
        };
        let given = if star && name == "COUNT" { 1 } else { args.len() };
        if !arity.contains(&given) || (star && name != "COUNT") {
            return refuse(909, "invalid number of arguments", at);
        }
        let mark = self.bare.len();
        let mut out = Vec::new();
        for arg in args {
            let value = self.value(arg, scope)?;
            out.push(match name {
                "SUM" | "AVG" => as_number(value),
                "LISTAGG" => as_text(value),
                _ => value,
            });
        }
        let ty = match name {
            "MIN" | "MAX" | "LAG" | "LEAD" | "FIRST_VALUE" | "LAST_VALUE" => out[0].ty,
            "LISTAGG" => Ty::Text(4000),
            _ => Ty::Number,
        };
        let word = match (name, aggregate) {
            ("LISTAGG", true) => "group_concat",
            ("LISTAGG", false) => return unimplemented("LISTAGG OVER", at),
            (name, _) => name,
        };
        let mut list = if star {
            "*".to_string()
        } else {
            let mut items: Vec<String> = out.into_iter().map(|t| t.sql).collect();
            if word == "group_concat" && items.len() == 1 {
                items.push("''".into());
            }
            items.join(", ")
        };
        if distinct {
            list.insert_str(0, "DISTINCT ");
        }
        if name == "LISTAGG" && !function.within_group.is_empty() {
            let outputs = std::mem::take(&mut self.outputs);
            let order = self.order_by(&function.within_group, scope)?;
            self.outputs = outputs;
            list.push_str(&format!(" ORDER BY {order}"));
        } else if !function.within_group.is_empty() {
            return unimplemented("WITHIN GROUP", at);
        }
        if aggregate {
            self.bare.truncate(mark);
            self.aggregates = true;
            return Ok(typed(format!("{word}({list})"), ty));
        }
        if function.null_treatment == Some(NullTreatment::IgnoreNulls) {
            return unimplemented("IGNORE NULLS", at);
        }
        let Some(WindowType::WindowSpec(window)) = &function.over else {
            return unimplemented("named windows", at);
        };
        let mut over = Vec::new();
        if !window.partition_by.is_empty() {
            let mut keys = Vec::new();
            for key in &window.partition_by {
                keys.push(self.value(key, scope)?.sql);
            }
            over.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !window.order_by.is_empty() {
            let outputs = std::mem::take(&mut self.outputs);
            over.push(format!("ORDER BY {}", self.order_by(&window.order_by, scope)?));
            self.outputs = outputs;
        } else if matches!(name, "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "LAG" | "LEAD" | "NTILE") {
            return refuse(30485, "missing ORDER BY expression in the window specification", at);
        }
        if let Some(frame) = &window.window_frame {
            let bounds = [Some(&frame.start_bound), frame.end_bound.as_ref()];
            let plain = bounds.into_iter().flatten().all(|b| {
                !matches!(b, WindowFrameBound::Preceding(Some(e)) | WindowFrameBound::Following(Some(e))
                    if literal_number(e).is_none())
            });
            if !plain {
                return unimplemented("this window frame", at);
            }
            over.push(match &frame.end_bound {
                None => format!("{} {}", frame.units, frame.start_bound),
                Some(end) => format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound),
            });
        }
        Ok(typed(format!("{name}({list}) OVER ({})", over.join(" ")), ty))
    }
}

fn literal_number(expr: &Expr) -> Option<f64> {
    expr.to_string().parse().ok()
}
