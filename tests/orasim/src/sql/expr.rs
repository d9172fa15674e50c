//! Values and conditions. Oracle keeps them apart (`WHERE 1` and `SELECT a = b` are errors); so does this module.

use sqlparser::ast::{BinaryOperator as Op, DataType, DateTimeField, Expr, Spanned, UnaryOperator, Value};

use super::emit::{fold, place, quoted, refuse, unimplemented, Emitted, Emitter, Scope, Ty, Typed};
use super::SqlError;
use crate::engine::OraError;

fn typed(sql: impl Into<String>, ty: Ty) -> Typed {
    Typed { sql: sql.into(), ty }
}

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Emitter<'_> {
    /// An expression that gives a value.
    ///
    /// # Errors
    /// The ORA- code of what is wrong with it.
    pub fn value(&mut self, expr: &Expr, scope: &Scope) -> Emitted<Typed> {
        let mark = self.bare.len();
        let out = self.bare_value(expr, scope)?;
        if self.group.contains(&out.sql) {
            self.bare.truncate(mark);
        }
        Ok(out)
    }

    fn bare_value(&mut self, expr: &Expr, scope: &Scope) -> Emitted<Typed> {
        let at = place(expr.span());
        match expr {
            Expr::Identifier(ident) => self.identifier(None, ident, scope),
            Expr::CompoundIdentifier(list) => match list.as_slice() {
                [table, column] => self.identifier(Some(&fold(table)), column, scope),
                [_, table, column] => self.identifier(Some(&fold(table)), column, scope),
                _ => refuse(904, format!("\"{expr}\": invalid identifier"), at),
            },
            Expr::Value(value) => constant(&value.value, at),
            Expr::Nested(inner) => {
                let inner = self.value(inner, scope)?;
                Ok(typed(format!("({})", inner.sql), inner.ty))
            }
            Expr::UnaryOp { op, expr } => {
                let inner = self.number(expr, scope)?;
                match op {
                    UnaryOperator::Minus => Ok(typed(format!("(-{inner})"), Ty::Number)),
                    UnaryOperator::Plus => Ok(typed(inner, Ty::Number)),
                    _ => refuse(936, "missing expression", at),
                }
            }
            Expr::BinaryOp { left, op, right } => self.arithmetic(left, op, right, scope, at),
            Expr::Function(function) => self.call(function, scope),
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_ref().map(|o| self.value(o, scope)).transpose()?;
                let mut out = String::from("CASE");
                let mut ty = Ty::Null;
                for when in conditions {
                    let test = match &operand {
                        None => self.condition(&when.condition, scope)?,
                        Some(operand) => {
                            let value = self.value(&when.condition, scope)?;
                            let (a, b) = aligned(operand.clone(), value, at)?;
                            format!("{a} = {b}")
                        }
                    };
                    let result = self.value(&when.result, scope)?;
                    ty = common(ty, result.ty, at)?;
                    out.push_str(&format!(" WHEN {test} THEN {}", result.sql));
                }
                if let Some(result) = else_result {
                    let result = self.value(result, scope)?;
                    ty = common(ty, result.ty, at)?;
                    out.push_str(&format!(" ELSE {}", result.sql));
                }
                Ok(typed(format!("{out} END"), ty))
            }
            Expr::Cast { expr, data_type, .. } => {
                let inner = self.value(expr, scope)?;
                let shown = data_type.to_string().to_ascii_uppercase();
                let size = shown.split(['(', ')', ' ']).find_map(|part| part.parse::<usize>().ok());
                if shown.contains("CHAR") {
                    let text = as_text(inner);
                    let size = size.unwrap_or(1);
                    return Ok(typed(format!("O_SUBSTR({}, 1, {size})", text.sql), Ty::Text(size)));
                }
                match data_type {
                    DataType::Date | DataType::Timestamp(..) => Ok(as_date(inner)),
                    _ if shown.starts_with("NUMBER")
                        || shown.starts_with("INT")
                        || shown.starts_with("DECIMAL") =>
                    {
                        Ok(as_number(inner))
                    }
                    _ => refuse(902, "invalid datatype", at),
                }
            }
            Expr::TypedString(string) => {
                let text = string.value.value.clone().into_string().unwrap_or_default();
                let format = match string.data_type {
                    DataType::Date => "YYYY-MM-DD",
                    DataType::Timestamp(..) if text.contains('.') => "YYYY-MM-DD HH24:MI:SS.FF",
                    DataType::Timestamp(..) => "YYYY-MM-DD HH24:MI:SS",
                    _ => return refuse(936, "missing expression", at),
                };
                Ok(typed(format!("O_TO_DATE({}, {})", literal(&text), literal(format)), Ty::Date))
            }
            Expr::Interval(interval) => {
                let amount: f64 =
                    interval.value.to_string().trim_matches('\'').trim().parse().unwrap_or(f64::NAN);
                let days = match interval.leading_field {
                    Some(DateTimeField::Day) => 1.0,
                    Some(DateTimeField::Hour) => 1.0 / 24.0,
                    Some(DateTimeField::Minute) => 1.0 / 1440.0,
                    Some(DateTimeField::Second) => 1.0 / 86400.0,
                    _ => return unimplemented("this interval", at),
                };
                if amount.is_nan() {
                    return refuse(1867, "the interval is invalid", at);
                }
                Ok(typed(format!("{:?}", amount * days), Ty::Number))
            }
            Expr::Extract { field, expr, .. } => {
                let inner = as_date(self.value(expr, scope)?);
                Ok(typed(format!("O_ORA_EXTRACT('{field}', {})", inner.sql), Ty::Number))
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let inner = as_text(self.value(expr, scope)?);
                let set = match trim_what {
                    None => "' '".into(),
                    Some(what) => as_text(self.value(what, scope)?).sql,
                };
                use sqlparser::ast::TrimWhereField as Side;
                let sql = match trim_where {
                    Some(Side::Leading) => format!("O_LTRIM({}, {set})", inner.sql),
                    Some(Side::Trailing) => format!("O_RTRIM({}, {set})", inner.sql),
                    _ => format!("O_LTRIM(O_RTRIM({}, {set}), {set})", inner.sql),
                };
                Ok(typed(sql, inner.ty))
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, shorthand: true, .. } => {
                let inner = as_text(self.value(expr, scope)?);
                let mut sql = format!("O_SUBSTR({}, {}", inner.sql, self.number(from, scope)?);
                let mut ty = inner.ty;
                if let Some(take) = substring_for {
                    let take = self.number(take, scope)?;
                    if let Ok(n) = take.parse::<usize>() {
                        ty = narrower(ty, n);
                    }
                    sql.push_str(&format!(", {take}"));
                }
                Ok(typed(sql + ")", ty))
            }
            Expr::Ceil { expr, .. } => {
                Ok(typed(format!("O_CEIL({})", self.number(expr, scope)?), Ty::Number))
            }
            Expr::Floor { expr, .. } => {
                Ok(typed(format!("O_FLOOR({})", self.number(expr, scope)?), Ty::Number))
            }
            Expr::Subquery(query) => {
                let saved = std::mem::take(&mut self.outputs);
                let (sql, columns) = self.query(query, Some(scope), false)?;
                self.outputs = saved;
                let [column] = columns.as_slice() else { return refuse(913, "too many values", at) };
                Ok(typed(format!("({sql})"), column.ty))
            }
            Expr::OuterJoin(_) => unimplemented("(+)", at),
            Expr::Prior(_) => unimplemented("PRIOR", at),
            Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => refuse(923, "FROM keyword not found where expected", at),
            _ => refuse(936, "missing expression", at),
        }
    }

    pub(super) fn number(&mut self, expr: &Expr, scope: &Scope) -> Emitted<String> {
        let at = place(expr.span());
        let inner = self.value(expr, scope)?;
        match inner.ty {
            Ty::Date => refuse(932, "inconsistent datatypes: expected NUMBER got DATE", at),
            _ => Ok(as_number(inner).sql),
        }
    }

    fn identifier(
        &mut self,
        table: Option<&str>,
        ident: &sqlparser::ast::Ident,
        scope: &Scope,
    ) -> Emitted<Typed> {
        let name = fold(ident);
        let at = place(ident.span);
        let mut level = Some(scope);
        let mut depth = 0;
        while let Some(here) = level {
            let mut found = Vec::new();
            for source in &here.sources {
                if table.is_some_and(|t| t != source.alias) {
                    continue;
                }
                if let Some(column) = source.columns.iter().find(|c| c.name == name) {
                    found.push((source, column));
                }
            }
            if found.len() > 1 && !here.merged.contains(&name) {
                return refuse(918, "column ambiguously defined", at);
            }
            if let Some((source, column)) = found.first() {
                self.used.insert(name.clone());
                if depth == 0 {
                    self.bare.push(at);
                }
                if here.merged.contains(&name) {
                    return Ok(typed(quoted(&name), column.ty));
                }
                return Ok(typed(format!("{}.{}", quoted(&source.alias), quoted(&name)), column.ty));
            }
            level = here.parent;
            depth += 1;
        }
        if table.is_none() && ident.quote_style.is_none() {
            if let Some(pseudo) = self.pseudo(&name, scope) {
                return Ok(pseudo);
            }
        }
        if let Some(column) = self.outputs.iter().find(|c| table.is_none() && c.name == name) {
            return Ok(typed(quoted(&name), column.ty));
        }
        let shown = match table {
            Some(table) => format!("\"{table}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        refuse(904, format!("{shown}: invalid identifier"), at)
    }

    fn pseudo(&self, name: &str, scope: &Scope) -> Option<Typed> {
        Some(match name {
            "SYSDATE" | "SYSTIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" => {
                typed("O_USERENV('SYSDATE')", Ty::Date)
            }
            "USER" => typed("O_USERENV('SESSION_USER')", Ty::Text(128)),
            "UID" => typed("0", Ty::Number),
            "ROWNUM" => typed("ROW_NUMBER() OVER ()", Ty::Number),
            "LEVEL" if scope.level => typed("\"LEVEL\"", Ty::Number),
            _ => return None,
        })
    }

    fn arithmetic(
        &mut self,
        left: &Expr,
        op: &Op,
        right: &Expr,
        scope: &Scope,
        at: (u64, u64),
    ) -> Emitted<Typed> {
        let sign = match op {
            Op::Plus => "+",
            Op::Minus => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
            Op::StringConcat => "||",
            Op::And | Op::Or | Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                return refuse(923, "FROM keyword not found where expected", place(right.span()))
            }
            Op::Modulo => return refuse(911, "invalid character", at),
            _ => return refuse(936, "missing expression", place(right.span())),
        };
        let (a, b) = (self.value(left, scope)?, self.value(right, scope)?);
        if sign == "||" {
            let (a, b) = (as_text(a), as_text(b));
            let width = width(a.ty) + width(b.ty);
            return Ok(typed(format!("O_ORA_CONCAT({}, {})", a.sql, b.sql), Ty::Text(width.min(4000))));
        }
        let ty = match (a.ty, sign, b.ty) {
            (Ty::Date, "-", Ty::Date) => Ty::Number,
            (Ty::Date, "+", Ty::Date) => return refuse(975, "date + date not allowed", at),
            (Ty::Date, "+" | "-", _) | (_, "+", Ty::Date) => Ty::Date,
            (Ty::Date, ..) | (.., Ty::Date) => {
                return refuse(932, "inconsistent datatypes: expected NUMBER got DATE", at)
            }
            _ => Ty::Number,
        };
        let number = |t: Typed| if t.ty == Ty::Date { t } else { as_number(t) };
        let (a, b) = (number(a), number(b));
        Ok(typed(
            match sign {
                "/" => format!("O_ORA_DIV({}, {})", a.sql, b.sql),
                sign => format!("({} {sign} {})", a.sql, b.sql),
            },
            ty,
        ))
    }

    /// An expression that is true or false.
    ///
    /// # Errors
    /// ORA-00920 for a value, ORA-00934 for an aggregate in WHERE, and what its parts answer.
    pub fn condition(&mut self, expr: &Expr, scope: &Scope) -> Emitted<String> {
        let at = place(expr.span());
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match expr {
            Expr::Nested(inner) => Ok(format!("({})", self.condition(inner, scope)?)),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(format!("(NOT {})", self.condition(expr, scope)?))
            }
            Expr::BinaryOp { left, op: op @ (Op::And | Op::Or), right } => {
                let (a, b) = (self.condition(left, scope)?, self.condition(right, scope)?);
                Ok(format!("({a} {op} {b})"))
            }
            Expr::BinaryOp { left, op, right } => {
                let sign = match op {
                    Op::Eq => "=",
                    Op::NotEq => "<>",
                    Op::Lt => "<",
                    Op::LtEq => "<=",
                    Op::Gt => ">",
                    Op::GtEq => ">=",
                    Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::StringConcat => {
                        let end = expr.span().end;
                        return refuse(920, "invalid relational operator", (end.line, end.column));
                    }
                    _ => return refuse(936, "missing expression", place(right.span())),
                };
                if let (Expr::Tuple(a), Expr::Tuple(b)) = (left.as_ref(), right.as_ref()) {
                    if a.len() != b.len() || sign != "=" {
                        return refuse(920, "invalid relational operator", at);
                    }
                    let mut tests = Vec::new();
                    for (a, b) in a.iter().zip(b) {
                        let (a, b) = aligned(self.value(a, scope)?, self.value(b, scope)?, at)?;
                        tests.push(format!("{a} = {b}"));
                    }
                    return Ok(format!("({})", tests.join(" AND ")));
                }
                let (a, b) = (self.value(left, scope)?, self.value(right, scope)?);
                let (a, b) = aligned(a, b, at)?;
                Ok(format!("{a} {sign} {b}"))
            }
            Expr::IsNull(inner) => Ok(format!("{} IS NULL", self.value(inner, scope)?.sql)),
            Expr::IsNotNull(inner) => Ok(format!("{} IS NOT NULL", self.value(inner, scope)?.sql)),
            Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsNotTrue(_) | Expr::IsNotFalse(_) => {
                refuse(908, "missing NULL keyword", at)
            }
            Expr::Between { expr, negated, low, high } => {
                let value = self.value(expr, scope)?;
                let (a, low) = aligned(value.clone(), self.value(low, scope)?, at)?;
                let (b, high) = aligned(value, self.value(high, scope)?, at)?;
                Ok(format!("({}({a} >= {low} AND {b} <= {high}))", not(negated)))
            }
            Expr::InList { expr, list, negated } => {
                if list.is_empty() {
                    return refuse(936, "missing expression", at);
                }
                if let Expr::Tuple(left) = expr.as_ref() {
                    let mut any = Vec::new();
                    for item in list {
                        let Expr::Tuple(right) = item else {
                            return refuse(920, "invalid relational operator", at);
                        };
                        let mut all = Vec::new();
                        for (a, b) in left.iter().zip(right) {
                            let (a, b) = aligned(self.value(a, scope)?, self.value(b, scope)?, at)?;
                            all.push(format!("{a} = {b}"));
                        }
                        any.push(format!("({})", all.join(" AND ")));
                    }
                    return Ok(format!("({}({}))", not(negated), any.join(" OR ")));
                }
                let value = self.value(expr, scope)?;
                let mut items = Vec::new();
                for item in list {
                    let (a, b) = aligned(value.clone(), self.value(item, scope)?, at)?;
                    items.push(format!("{a} = {b}"));
                }
                Ok(format!("({}({}))", not(negated), items.join(" OR ")))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let wanted: Vec<&Expr> = match expr.as_ref() {
                    Expr::Tuple(list) => list.iter().collect(),
                    one => vec![one],
                };
                let saved = std::mem::take(&mut self.outputs);
                let (sql, columns) = self.query(subquery, Some(scope), false)?;
                self.outputs = saved;
                if columns.len() != wanted.len() {
                    let (code, text) = if columns.len() > wanted.len() {
                        (913, "too many values")
                    } else {
                        (947, "not enough values")
                    };
                    return refuse(code, text, at);
                }
                let mut left = Vec::new();
                for (value, column) in wanted.into_iter().zip(&columns) {
                    let value = self.value(value, scope)?;
                    left.push(aligned(value, typed("NULL", column.ty), at)?.0);
                }
                Ok(format!("({}) {}IN ({sql})", left.join(", "), not(negated)))
            }
            Expr::Exists { subquery, negated } => {
                let saved = std::mem::take(&mut self.outputs);
                let (sql, _) = self.query(subquery, Some(scope), false)?;
                self.outputs = saved;
                Ok(format!("{}EXISTS ({sql})", not(negated)))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let (a, b) = (as_text(self.value(expr, scope)?), as_text(self.value(pattern, scope)?));
                let escape = match escape_char {
                    None => String::new(),
                    Some(e) => format!(", {}", self.value(e, scope)?.sql),
                };
                Ok(format!("({}O_ORA_LIKE({}, {}{escape}))", not(negated), a.sql, b.sql))
            }
            Expr::Function(function) if fold_name(function) == "REGEXP_LIKE" => {
                Ok(self.call(function, scope)?.sql)
            }
            Expr::OuterJoin(_) => unimplemented("(+)", at),
            other => {
                self.value(other, scope)?;
                let end = other.span().end;
                refuse(920, "invalid relational operator", (end.line, end.column))
            }
        }
    }
}

fn fold_name(function: &sqlparser::ast::Function) -> String {
    function.name.to_string().to_uppercase()
}

fn constant(value: &Value, at: (u64, u64)) -> Emitted<Typed> {
    Ok(match value {
        Value::Number(text, _) => typed(text.clone(), Ty::Number),
        Value::Null => typed("NULL", Ty::Null),
        Value::SingleQuotedString(_)
        | Value::NationalStringLiteral(_)
        | Value::QuoteDelimitedStringLiteral(_)
        | Value::NationalQuoteDelimitedStringLiteral(_) => {
            let text = match value {
                Value::SingleQuotedString(s) | Value::NationalStringLiteral(s) => s.clone(),
                Value::QuoteDelimitedStringLiteral(q) | Value::NationalQuoteDelimitedStringLiteral(q) => {
                    q.value.clone()
                }
                _ => String::new(),
            };
            if text.is_empty() {
                typed("NULL", Ty::Null)
            } else {
                let len = text.len();
                typed(literal(&text), Ty::Text(len))
            }
        }
        Value::Placeholder(_) => return refuse(1008, "not all variables bound", at),
        _ => return refuse(936, "missing expression", at),
    })
}

pub fn width(ty: Ty) -> usize {
    match ty {
        Ty::Null => 0,
        Ty::Number => 40,
        Ty::Date => 75,
        Ty::Text(n) => n,
    }
}

pub fn narrower(ty: Ty, n: usize) -> Ty {
    match ty {
        Ty::Text(w) => Ty::Text(w.min(n)),
        other => other,
    }
}

pub fn as_text(value: Typed) -> Typed {
    match value.ty {
        Ty::Text(_) | Ty::Null => value,
        Ty::Number => typed(format!("O_ORA_TEXT_N({})", value.sql), Ty::Text(40)),
        Ty::Date => typed(format!("O_ORA_TEXT_D({})", value.sql), Ty::Text(20)),
    }
}

pub fn as_number(value: Typed) -> Typed {
    match value.ty {
        Ty::Text(_) => typed(format!("O_TO_NUMBER({})", value.sql), Ty::Number),
        Ty::Null => typed(value.sql, Ty::Number),
        _ => value,
    }
}

pub fn as_date(value: Typed) -> Typed {
    match value.ty {
        Ty::Text(_) => typed(format!("O_TO_DATE({})", value.sql), Ty::Date),
        _ => value,
    }
}

/// The two sides of a comparison after Oracle's implicit conversion: text becomes a number or a date.
fn aligned(a: Typed, b: Typed, at: (u64, u64)) -> Emitted<(String, String)> {
    let (a, b) = match (a.ty, b.ty) {
        (Ty::Number, Ty::Text(_)) => (a, as_number(b)),
        (Ty::Text(_), Ty::Number) => (as_number(a), b),
        (Ty::Date, Ty::Text(_)) => (a, as_date(b)),
        (Ty::Text(_), Ty::Date) => (as_date(a), b),
        (Ty::Date, Ty::Number) => return refuse(932, "inconsistent datatypes: expected DATE got NUMBER", at),
        (Ty::Number, Ty::Date) => return refuse(932, "inconsistent datatypes: expected NUMBER got DATE", at),
        _ => (a, b),
    };
    Ok((a.sql, b.sql))
}

/// The type of CASE and its like, from the branches met so far.
pub fn common(a: Ty, b: Ty, at: (u64, u64)) -> Emitted<Ty> {
    let name = |ty| match ty {
        Ty::Number => "NUMBER",
        Ty::Date => "DATE",
        _ => "CHAR",
    };
    match (a, b) {
        (Ty::Null, t) | (t, Ty::Null) => Ok(t),
        (Ty::Text(x), Ty::Text(y)) => Ok(Ty::Text(x.max(y))),
        (x, y) if x == y => Ok(x),
        (x, y) => Err(SqlError::at(
            OraError::new(932, format!("inconsistent datatypes: expected {} got {}", name(x), name(y))),
            at,
        )),
    }
}
