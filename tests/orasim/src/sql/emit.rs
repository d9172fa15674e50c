//! Oracle's SELECT to SQLite's: names are resolved, types found and everything that Oracle has not is refused.
//!
//! The emitter is a closed world: a construct that it does not know is an ORA- error, so that no SQLite-ism can pass.
//! Valid Oracle that it does not do (CONNECT BY PRIOR, the (+) operator, MODEL …) answers ORA-03001.

use std::collections::{BTreeMap, HashSet};

use sqlparser::ast::{
    ConnectByKind, Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    ObjectName, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableAlias, TableFactor, TableWithJoins,
};

use super::SqlError;
use crate::engine::{OraError, Type, View};

/// The static type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    Null,
    Number,
    Date,
    /// Bytes that the text may have; it is the width of the column in SQL*Plus.
    Text(usize),
}

#[derive(Debug, Clone)]
pub struct Typed {
    pub sql: String,
    pub ty: Ty,
}

#[derive(Debug, Clone)]
pub struct Col {
    pub name: String,
    pub ty: Ty,
}

#[derive(Debug, Clone)]
pub struct Source {
    /// The name by which columns may be qualified.
    pub alias: String,
    pub columns: Vec<Col>,
}

#[derive(Default)]
pub struct Scope<'p> {
    pub sources: Vec<Source>,
    pub parent: Option<&'p Scope<'p>>,
    /// Columns of USING and NATURAL joins: no qualifier is needed, they are not ambiguous.
    pub merged: Vec<String>,
    /// CONNECT BY LEVEL gives the pseudo column LEVEL.
    pub level: bool,
}

/// Where the emitter finds tables.
pub trait Catalog {
    /// A view by the name as written (upper case, without schema), `None` when there is no such table.
    fn view(&self, name: &str) -> Option<Result<View, OraError>>;
}

pub struct Emitter<'a> {
    pub catalog: &'a dyn Catalog,
    /// Views to be filled into SQLite, by name.
    pub tables: BTreeMap<String, View>,
    /// Column names that the statement mentions; only these are filled.
    pub used: HashSet<String>,
    pub(super) ctes: Vec<(String, Vec<Col>)>,
    /// Emitted GROUP BY expressions of the select at hand.
    pub(super) group: HashSet<String>,
    /// Columns met outside of any aggregate and of any GROUP BY expression.
    pub(super) bare: Vec<(u64, u64)>,
    pub(super) aggregates: bool,
    pub(super) aggregate_allowed: bool,
    /// Output columns, visible to ORDER BY.
    pub(super) outputs: Vec<Col>,
    /// Text of the top-level select items, for headings.
    pub headings: Vec<String>,
}

pub type Emitted<T> = Result<T, SqlError>;

pub fn refuse<T>(code: u32, text: impl Into<String>, at: (u64, u64)) -> Emitted<T> {
    Err(SqlError::at(OraError::new(code, text), at))
}

pub fn unimplemented<T>(what: &str, at: (u64, u64)) -> Emitted<T> {
    refuse(3001, format!("unimplemented feature ({what} in orasim)"), at)
}

pub fn not_ended<T>(at: (u64, u64)) -> Emitted<T> {
    refuse(933, "SQL command not properly ended", at)
}

pub fn place(span: sqlparser::tokenizer::Span) -> (u64, u64) {
    (span.start.line, span.start.column)
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The dictionary form of an identifier: folded unless quoted.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_uppercase()
    }
}

pub fn parts(name: &ObjectName) -> Emitted<Vec<&Ident>> {
    name.0
        .iter()
        .map(|p| p.as_ident().ok_or_else(|| SqlError::from(OraError::new(903, "invalid table name"))))
        .collect()
}

impl<'a> Emitter<'a> {
    pub fn new(catalog: &'a dyn Catalog) -> Self {
        Self {
            catalog,
            tables: BTreeMap::new(),
            used: HashSet::new(),
            ctes: Vec::new(),
            group: HashSet::new(),
            bare: Vec::new(),
            aggregates: false,
            aggregate_allowed: false,
            outputs: Vec::new(),
            headings: Vec::new(),
        }
    }

    /// One query with its WITH, ORDER BY and FETCH FIRST.
    ///
    /// # Errors
    /// The ORA- code that Oracle's parser would give, with the place in the text.
    pub fn query(&mut self, query: &Query, parent: Option<&Scope>, top: bool) -> Emitted<(String, Vec<Col>)> {
        if !query.locks.is_empty() || query.for_clause.is_some() || query.format_clause.is_some() {
            return not_ended(place(query.span()));
        }
        let depth = self.ctes.len();
        let mut out = String::new();
        if let Some(with) = &query.with {
            if with.recursive {
                return refuse(905, "missing keyword", place(with.span()));
            }
            let mut ctes = Vec::new();
            for cte in &with.cte_tables {
                ctes.push(self.cte(cte, parent)?);
            }
            out = format!("WITH {} ", ctes.join(", "));
        }
        let saved = std::mem::take(&mut self.outputs);
        let order = match query.order_by.as_ref().map(|o| &o.kind) {
            None => &[][..],
            Some(OrderByKind::Expressions(list)) => list.as_slice(),
            Some(OrderByKind::All(_)) => return refuse(936, "missing expression", place(query.span())),
        };
        let (body, columns) = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, parent, order, top)?,
            other => {
                let (mut sql, columns) = self.set(other, parent, top)?;
                self.outputs.clone_from(&columns);
                let empty = Scope::default();
                let list = self.order_by(order, &empty)?;
                if !list.is_empty() {
                    sql = format!("SELECT * FROM ({sql}) ORDER BY {list}");
                }
                (sql, columns)
            }
        };
        out.push_str(&body);
        let mut limit = None;
        if let Some(fetch) = &query.fetch {
            if fetch.percent || fetch.with_ties {
                return unimplemented("FETCH PERCENT or WITH TIES", place(query.span()));
            }
            limit = match &fetch.quantity {
                None => Some("1".into()),
                Some(q) => Some(self.value(q, &Scope::default())?.sql),
            };
        }
        let mut offset = None;
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit: None, offset: Some(o), limit_by })
                if limit_by.is_empty() =>
            {
                // OFFSET without ROWS is not Oracle's.
                if o.rows == sqlparser::ast::OffsetRows::None {
                    return not_ended(place(o.value.span()));
                }
                offset = Some(self.value(&o.value, &Scope::default())?.sql);
            }
            Some(LimitClause::LimitOffset { limit: Some(e), .. }) => {
                return not_ended(before(place(e.span()), 6))
            }
            Some(_) => return not_ended(place(query.span())),
        }
        if limit.is_some() || offset.is_some() {
            out.push_str(&format!(" LIMIT {}", limit.unwrap_or("-1".into())));
            if let Some(offset) = offset {
                out.push_str(&format!(" OFFSET {offset}"));
            }
        } else if !top && !order.is_empty() {
            // SQLite may drop the ORDER BY of a subquery unless it has a LIMIT; the idiom "first n rows" needs it.
            out.push_str(" LIMIT -1");
        }
        self.outputs = saved;
        self.ctes.truncate(depth);
        Ok((out, columns))
    }

    fn cte(&mut self, cte: &sqlparser::ast::Cte, parent: Option<&Scope>) -> Emitted<String> {
        let name = fold(&cte.alias.name);
        let names: Vec<String> = cte.alias.columns.iter().map(|c| fold(&c.name)).collect();
        let recursive = match cte.query.body.as_ref() {
            SetExpr::SetOperation { op: SetOperator::Union, left, .. } if !names.is_empty() => Some(left),
            _ => None,
        };
        let depth = self.ctes.len();
        if let Some(left) = recursive {
            // A recursive member sees the types of the anchor.
            if let Ok((_, anchor)) = self.set(left, parent, false) {
                self.ctes.push((name.clone(), renamed(&anchor, &names)));
            }
        }
        let (sql, columns) = self.query(&cte.query, parent, false)?;
        self.ctes.truncate(depth);
        let columns = if names.is_empty() { columns } else { renamed(&columns, &names) };
        let list: Vec<String> = columns.iter().map(|c| quoted(&c.name)).collect();
        self.ctes.push((name.clone(), columns));
        Ok(format!("{}({}) AS ({sql})", quoted(&name), list.join(", ")))
    }

    fn set(&mut self, body: &SetExpr, parent: Option<&Scope>, top: bool) -> Emitted<(String, Vec<Col>)> {
        match body {
            SetExpr::Select(select) => self.select(select, parent, &[], top),
            SetExpr::Query(query) => {
                let (sql, columns) = self.query(query, parent, top)?;
                Ok((format!("SELECT * FROM ({sql})"), columns))
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (a, left_columns) = self.set(left, parent, top)?;
                let headings = std::mem::take(&mut self.headings);
                let (b, right_columns) = self.set(right, parent, false)?;
                self.headings = headings;
                let at = place(right.span());
                if left_columns.len() != right_columns.len() {
                    return refuse(1789, "query block has incorrect number of result columns", at);
                }
                let mut columns = left_columns;
                for (l, r) in columns.iter_mut().zip(&right_columns) {
                    l.ty = match (l.ty, r.ty) {
                        (Ty::Null, t) | (t, Ty::Null) => t,
                        (Ty::Text(x), Ty::Text(y)) => Ty::Text(x.max(y)),
                        (x, y) if x == y => x,
                        _ => {
                            let text = "expression must have same datatype as corresponding expression";
                            return refuse(1790, text, at);
                        }
                    };
                }
                let op = match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                    (SetOperator::Union, SetQuantifier::None) => "UNION",
                    (SetOperator::Minus, SetQuantifier::None) => "EXCEPT",
                    (SetOperator::Intersect, SetQuantifier::None) => "INTERSECT",
                    (SetOperator::Except, _) => return not_ended(at),
                    _ => return refuse(928, "missing SELECT keyword", at),
                };
                // SQLite binds all set operators left to right as Oracle does, but a right operand needs its own level.
                let b = if matches!(right.as_ref(), SetExpr::Select(_) | SetExpr::Query(_)) {
                    b
                } else {
                    format!("SELECT * FROM ({b})")
                };
                Ok((format!("{a} {op} {b}"), columns))
            }
            _ => refuse(928, "missing SELECT keyword", place(body.span())),
        }
    }

    fn select(
        &mut self,
        select: &Select,
        parent: Option<&Scope>,
        order: &[sqlparser::ast::OrderByExpr],
        top: bool,
    ) -> Emitted<(String, Vec<Col>)> {
        let at = place(select.span());
        if select.top.is_some()
            || select.into.is_some()
            || select.qualify.is_some()
            || select.prewhere.is_some()
            || !select.lateral_views.is_empty()
            || !select.cluster_by.is_empty()
            || !select.sort_by.is_empty()
        {
            return refuse(923, "FROM keyword not found where expected", at);
        }
        if select.from.is_empty() {
            let end = select.projection.last().map_or(at, |item| {
                let end = item.span().end;
                (end.line, end.column)
            });
            return refuse(923, "FROM keyword not found where expected", end);
        }
        let saved_group = std::mem::take(&mut self.group);
        let saved_bare = std::mem::take(&mut self.bare);
        let saved = (self.aggregates, self.aggregate_allowed);
        self.aggregates = false;
        self.aggregate_allowed = false;
        let headings = if top { std::mem::take(&mut self.headings) } else { Vec::new() };

        let mut scope = Scope { parent, ..Scope::default() };
        let mut from = self.from(&select.from, &mut scope)?;
        let mut conditions = Vec::new();
        let mut first_rows = None;
        if let Some(selection) = &select.selection {
            for conjunct in conjuncts(selection) {
                match rownum_limit(conjunct) {
                    Some(limit) => first_rows = Some(limit),
                    None => conditions.push(self.condition(conjunct, &scope)?),
                }
            }
        }
        match select.connect_by.as_slice() {
            [] => {}
            [ConnectByKind::ConnectBy { relationships, .. }] => {
                from = self.generate(&from, relationships, &mut scope, at)?;
            }
            _ => return unimplemented("CONNECT BY", at),
        }
        let mut filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let grouped = match &select.group_by {
            GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => {
                let mut keys = Vec::new();
                for expr in list {
                    if matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)) {
                        return unimplemented("ROLLUP, CUBE, GROUPING SETS", place(expr.span()));
                    }
                    let key = self.value(expr, &scope)?.sql;
                    self.group.insert(key.clone());
                    // A number in GROUP BY is a constant to Oracle and a position to SQLite.
                    keys.push(if key.parse::<f64>().is_ok() { format!("({key}+0)") } else { key });
                }
                keys
            }
            _ => return refuse(936, "missing expression", at),
        };
        self.bare.clear();
        self.aggregate_allowed = true;
        if let Some(n) = first_rows {
            // OFFSET keeps SQLite from moving the LIMIT behind the ORDER BY.
            if let [source] = scope.sources.as_slice() {
                from =
                    format!("(SELECT * FROM {from}{filter} LIMIT {n} OFFSET 0) AS {}", quoted(&source.alias));
                filter = String::new();
            } else if order.is_empty() && grouped.is_empty() {
                filter.push_str(&format!(" LIMIT {n}"));
            } else {
                return unimplemented("ROWNUM over a join with ORDER BY or GROUP BY", at);
            }
        }

        let (items, columns) = self.projection(select, &scope, &headings)?;
        let having = match &select.having {
            None => String::new(),
            Some(having) => format!(" HAVING {}", self.condition(having, &scope)?),
        };
        self.outputs.clone_from(&columns);
        let order = self.order_by(order, &scope)?;
        if self.aggregates || !grouped.is_empty() || !having.is_empty() {
            if let Some(at) = self.bare.first() {
                let (code, text) = if grouped.is_empty() {
                    (937, "not a single-group group function")
                } else {
                    (979, "not a GROUP BY expression")
                };
                return refuse(code, text, *at);
            }
        }
        let distinct = match &select.distinct {
            None | Some(Distinct::All) => "",
            Some(Distinct::Distinct) => "DISTINCT ",
            Some(Distinct::On(_)) => return refuse(904, "\"ON\": invalid identifier", at),
        };
        let mut sql = format!("SELECT {distinct}{} FROM {from}{filter}", items.join(", "));
        if !grouped.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", grouped.join(", ")));
        }
        sql.push_str(&having);
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {order}"));
        }
        self.group = saved_group;
        self.bare = saved_bare;
        (self.aggregates, self.aggregate_allowed) = saved;
        Ok((sql, columns))
    }

    /// `CONNECT BY LEVEL <= n` without PRIOR: the row generator.
    fn generate(
        &mut self,
        from: &str,
        relationships: &[Expr],
        scope: &mut Scope,
        at: (u64, u64),
    ) -> Emitted<String> {
        let [Expr::BinaryOp { left, op, right }] = relationships else {
            return unimplemented("CONNECT BY with several conditions", at);
        };
        let level = matches!(left.as_ref(), Expr::Identifier(i) if fold(i) == "LEVEL" || fold(i) == "ROWNUM");
        let less = match op {
            sqlparser::ast::BinaryOperator::LtEq => 0,
            sqlparser::ast::BinaryOperator::Lt => 1,
            _ => return unimplemented("CONNECT BY", at),
        };
        let [source] = scope.sources.as_slice() else { return unimplemented("CONNECT BY", at) };
        if !level || source.columns.len() != 1 {
            return unimplemented("CONNECT BY on anything but DUAL", at);
        }
        let most = self.value(right, scope)?.sql;
        scope.level = true;
        Ok(format!(
            "{from}, (WITH \"L\"(\"LEVEL\") AS (SELECT 1 UNION ALL SELECT \"LEVEL\"+1 FROM \"L\" WHERE \"LEVEL\"+1 <= {most}-{less}) SELECT \"LEVEL\" FROM \"L\")"
        ))
    }

    fn projection(
        &mut self,
        select: &Select,
        scope: &Scope,
        headings: &[String],
    ) -> Emitted<(Vec<String>, Vec<Col>)> {
        let mut items = Vec::new();
        let mut columns: Vec<Col> = Vec::new();
        let alone = select.projection.len() == 1;
        for (position, item) in select.projection.iter().enumerate() {
            let (expr, alias) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(fold(alias))),
                SelectItem::Wildcard(_) => {
                    if !alone {
                        return refuse(923, "FROM keyword not found where expected", place(item.span()));
                    }
                    for source in &scope.sources {
                        self.star(source, &mut items, &mut columns);
                    }
                    continue;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let wanted = parts(name)?.last().map(|i| fold(i)).unwrap_or_default();
                    let Some(source) = scope.sources.iter().find(|s| s.alias == wanted) else {
                        return refuse(904, format!("\"{wanted}\": invalid identifier"), place(name.span()));
                    };
                    self.star(source, &mut items, &mut columns);
                    continue;
                }
                other => return refuse(936, "missing expression", place(other.span())),
            };
            let typed = self.value(expr, scope)?;
            let name = alias.unwrap_or_else(|| match expr {
                Expr::Identifier(ident) => fold(ident),
                Expr::CompoundIdentifier(list) => list.last().map(fold).unwrap_or_default(),
                other => headings.get(position).cloned().unwrap_or_else(|| other.to_string().to_uppercase()),
            });
            items.push(format!("{} AS {}", typed.sql, quoted(&name)));
            columns.push(Col { name, ty: typed.ty });
        }
        Ok((items, columns))
    }

    fn star(&mut self, source: &Source, items: &mut Vec<String>, columns: &mut Vec<Col>) {
        for column in &source.columns {
            self.used.insert(column.name.clone());
            items.push(format!(
                "{}.{} AS {}",
                quoted(&source.alias),
                quoted(&column.name),
                quoted(&column.name)
            ));
            self.bare.push((0, 0));
            columns.push(column.clone());
        }
    }

    pub(super) fn order_by(
        &mut self,
        list: &[sqlparser::ast::OrderByExpr],
        scope: &Scope,
    ) -> Emitted<String> {
        let mut out = Vec::new();
        for item in list {
            let key = match &item.expr {
                Expr::Value(v)
                    if matches!(v.value, sqlparser::ast::Value::Number(..)) && !self.outputs.is_empty() =>
                {
                    let text = v.value.to_string();
                    let n: usize = text.parse().unwrap_or(0);
                    if n == 0 || n > self.outputs.len() {
                        let text = "ORDER BY item must be the number of a SELECT-list expression";
                        return refuse(1785, text, place(item.expr.span()));
                    }
                    text
                }
                Expr::Identifier(ident) if self.outputs.iter().any(|c| c.name == fold(ident)) => {
                    if self.outputs.iter().filter(|c| c.name == fold(ident)).count() > 1 {
                        return refuse(960, "ambiguous column naming in select list", place(ident.span));
                    }
                    quoted(&fold(ident))
                }
                expr => self.value(expr, scope)?.sql,
            };
            let descending = match &item.options.sort {
                None | Some(sqlparser::ast::OrderBySort::Asc) => false,
                Some(sqlparser::ast::OrderBySort::Desc) => true,
                Some(_) => return not_ended(place(item.expr.span())),
            };
            // NULLs are the greatest values in Oracle and the smallest in SQLite.
            let nulls_first = item.options.nulls_first.unwrap_or(descending);
            out.push(format!(
                "{key} {} NULLS {}",
                if descending { "DESC" } else { "ASC" },
                if nulls_first { "FIRST" } else { "LAST" }
            ));
        }
        Ok(out.join(", "))
    }

    fn from(&mut self, list: &[TableWithJoins], scope: &mut Scope) -> Emitted<String> {
        let mut out = String::new();
        for (position, table) in list.iter().enumerate() {
            if position > 0 {
                out.push_str(" CROSS JOIN ");
            }
            let text = self.factor(&table.relation, scope)?;
            out.push_str(&text);
            for join in &table.joins {
                let text = self.join(join, scope)?;
                out.push_str(&text);
            }
        }
        Ok(out)
    }

    fn join(&mut self, join: &Join, scope: &mut Scope) -> Emitted<String> {
        let at = place(join.relation.span());
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => ("JOIN", c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => ("LEFT JOIN", c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => ("RIGHT JOIN", c),
            JoinOperator::FullOuter(c) => ("FULL JOIN", c),
            JoinOperator::CrossJoin(JoinConstraint::None) => {
                let relation = self.factor(&join.relation, scope)?;
                return Ok(format!(" CROSS JOIN {relation}"));
            }
            JoinOperator::CrossApply | JoinOperator::OuterApply => return unimplemented("APPLY", at),
            _ => return not_ended(at),
        };
        let relation = self.factor(&join.relation, scope)?;
        let tail = match constraint {
            JoinConstraint::On(expr) => format!(" ON {}", self.condition(expr, scope)?),
            JoinConstraint::Using(names) => {
                let mut list = Vec::new();
                for name in names {
                    let name = parts(name)?.last().map(|i| fold(i)).unwrap_or_default();
                    self.used.insert(name.clone());
                    list.push(quoted(&name));
                    scope.merged.push(name);
                }
                format!(" USING ({})", list.join(", "))
            }
            JoinConstraint::Natural => return unimplemented("NATURAL JOIN", at),
            JoinConstraint::None => return refuse(905, "missing keyword", at),
        };
        Ok(format!(" {word} {relation}{tail}"))
    }

    fn factor(&mut self, factor: &TableFactor, scope: &mut Scope) -> Emitted<String> {
        match factor {
            TableFactor::Table { name, alias, args: None, with_hints, sample: None, .. }
                if with_hints.is_empty() =>
            {
                let (table, columns) = self.table(name)?;
                let alias = alias_name(alias.as_ref())?.unwrap_or_else(|| {
                    parts(name).ok().and_then(|p| p.last().map(|i| fold(i))).unwrap_or_default()
                });
                scope.sources.push(Source { alias: alias.clone(), columns });
                Ok(format!("{} AS {}", quoted(&table), quoted(&alias)))
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let (sql, columns) = self.query(subquery, scope.parent, false)?;
                let alias =
                    alias_name(alias.as_ref())?.unwrap_or_else(|| format!(" from {}", scope.sources.len()));
                scope.sources.push(Source { alias: alias.clone(), columns });
                Ok(format!("({sql}) AS {}", quoted(&alias)))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let mut text = self.factor(&table_with_joins.relation, scope)?;
                for join in &table_with_joins.joins {
                    text.push_str(&self.join(join, scope)?);
                }
                Ok(format!("({text})"))
            }
            other => unimplemented("this kind of table", place(other.span())),
        }
    }

    /// Resolves a table name to a CTE or a view and gives the SQLite table that will hold it.
    fn table(&mut self, name: &ObjectName) -> Emitted<(String, Vec<Col>)> {
        let idents = parts(name)?;
        let at = idents.first().map_or((0, 0), |i| place(i.span));
        let missing = || refuse(942, "table or view does not exist", at);
        let name = match idents.as_slice() {
            [one] => fold(one),
            [schema, one] if matches!(fold(schema).as_str(), "SYS" | "PUBLIC") => fold(one),
            [schema, one] => format!("{}.{}", fold(schema), fold(one)),
            _ => return missing(),
        };
        if name.contains('@') {
            return refuse(2019, "connection description for remote database not found", at);
        }
        if idents.len() == 1 {
            if let Some((_, columns)) = self.ctes.iter().rev().find(|(n, _)| *n == name) {
                return Ok((name, columns.clone()));
            }
        }
        if !self.tables.contains_key(&name) {
            match self.catalog.view(&name) {
                None => return missing(),
                Some(Err(error)) => return Err(SqlError::at(error, at)),
                Some(Ok(view)) => self.tables.insert(name.clone(), view),
            };
        }
        let columns = self.tables[&name]
            .columns
            .iter()
            .map(|c| Col {
                name: c.name.to_string(),
                ty: match c.ty {
                    Type::Number => Ty::Number,
                    Type::Date => Ty::Date,
                    Type::Varchar(n) => Ty::Text(n),
                },
            })
            .collect();
        Ok((name, columns))
    }
}

fn alias_name(alias: Option<&TableAlias>) -> Emitted<Option<String>> {
    match alias {
        None => Ok(None),
        // Oracle has no AS before a table alias.
        Some(alias) if alias.explicit => not_ended(before(place(alias.name.span), 3)),
        Some(alias) if !alias.columns.is_empty() => not_ended(place(alias.name.span)),
        Some(alias) => Ok(Some(fold(&alias.name))),
    }
}

fn before(at: (u64, u64), columns: u64) -> (u64, u64) {
    (at.0, at.1.saturating_sub(columns).max(1))
}

fn renamed(columns: &[Col], names: &[String]) -> Vec<Col> {
    columns.iter().zip(names).map(|(c, n)| Col { name: n.clone(), ty: c.ty }).collect()
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: sqlparser::ast::BinaryOperator::And, right } => {
            let mut list = conjuncts(left);
            list.extend(conjuncts(right));
            list
        }
        other => vec![other],
    }
}

/// `ROWNUM <= n`, `ROWNUM < n`, `ROWNUM = 1`: the number of rows that may pass.
fn rownum_limit(expr: &Expr) -> Option<i64> {
    use sqlparser::ast::BinaryOperator as Op;
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let Expr::Identifier(ident) = left.as_ref() else { return None };
    if fold(ident) != "ROWNUM" {
        return None;
    }
    let n: i64 = right.to_string().parse().ok()?;
    match op {
        Op::LtEq => Some(n.max(0)),
        Op::Lt => Some((n - 1).max(0)),
        Op::Eq => Some(i64::from(n == 1)),
        // The first row is number 1 until one passes: nothing is ever greater than it.
        Op::Gt => Some(if n < 1 { i64::MAX } else { 0 }),
        Op::GtEq => Some(if n <= 1 { i64::MAX } else { 0 }),
        _ => None,
    }
}
