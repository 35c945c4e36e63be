//! `$filter`: parsed against a type, then asked about one resource at a time.
//!
//! Operators `eq ne gt ge lt le and or not`, functions `startswith endswith contains`, and lambda
//! `any` over one level. String values compare without case, as Exchange compares them; only the id
//! of an extended property is exact
//! (learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get).

use std::borrow::Cow;

use jiff::Timestamp;

use super::lexer::{Token, tokens};
use super::typing::{self, Scope};
use crate::error::GraphError;

/// A parsed and checked filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Expression);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Compare {
        path: String,
        operator: Operator,
        value: Literal,
        exact: bool,
    },
    Call {
        function: Function,
        path: String,
        value: String,
    },
    Any {
        collection: String,
        variable: String,
        body: Option<Box<Expression>>,
    },
    /// A boolean property by itself
    Is(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Bool(bool),
    Number(f64),
    Time(Timestamp),
    Null,
}

/// The value of a property of one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Time(Timestamp),
    Null,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// What a filter is asked about.
pub trait Subject {
    /// The value at a path such as `from/emailAddress/address`; `""` is the resource itself.
    fn value(&self, path: &str) -> Value<'_>;

    /// The members of a collection, for `any`.
    fn members(&self, collection: &str) -> Vec<Box<dyn Subject + '_>>;
}

impl Filter {
    /// Parses a filter over resources of a type, such as `message`.
    pub fn parse(text: &str, type_name: &str) -> Result<Self, GraphError> {
        let mut parser = Parser { text, tokens: tokens(text)?, next: 0 };
        let expression = parser.or()?;
        if parser.next < parser.tokens.len() {
            return Err(parser.syntax());
        }
        Ok(Self(typing::check(expression, &Scope::of(type_name))?))
    }

    pub fn accepts(&self, subject: &dyn Subject) -> bool {
        holds(&self.0, subject, None)
    }

    /// The lower bound it sets for a property, and whether that is outside; `None` when it says
    /// anything else.
    pub fn lower_bound(&self, property: &str) -> Option<(Timestamp, bool)> {
        match &self.0 {
            Expression::Compare { path, operator, value: Literal::Time(at), .. }
                if path == property =>
            {
                match operator {
                    Operator::GreaterOrEqual => Some((*at, false)),
                    Operator::Greater => Some((*at, true)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The top-level properties it names, in order of appearance.
    pub fn properties(&self) -> Vec<&str> {
        let mut out = Vec::new();
        collect(&self.0, &mut out);
        out
    }
}

fn collect<'a>(expression: &'a Expression, out: &mut Vec<&'a str>) {
    let name = match expression {
        Expression::And(left, right) | Expression::Or(left, right) => {
            collect(left, out);
            return collect(right, out);
        }
        Expression::Not(inner) => return collect(inner, out),
        Expression::Compare { path, .. } | Expression::Call { path, .. } | Expression::Is(path) => {
            path
        }
        Expression::Any { collection, .. } => collection,
    };
    if !out.contains(&name.as_str()) {
        out.push(name);
    }
}

/// The resource that a lambda's variable stands for.
type Bound<'a> = Option<(&'a str, &'a dyn Subject)>;

fn holds(expression: &Expression, subject: &dyn Subject, bound: Bound<'_>) -> bool {
    match expression {
        Expression::And(left, right) => holds(left, subject, bound) && holds(right, subject, bound),
        Expression::Or(left, right) => holds(left, subject, bound) || holds(right, subject, bound),
        Expression::Not(inner) => !holds(inner, subject, bound),
        Expression::Is(path) => look_up(path, subject, bound) == Value::Bool(true),
        Expression::Compare { path, operator, value, exact } => {
            compare(&look_up(path, subject, bound), *operator, value, *exact)
        }
        Expression::Call { function, path, value } => match look_up(path, subject, bound) {
            Value::Text(text) => call(*function, &text, value),
            _ => false,
        },
        Expression::Any { collection, variable, body } => {
            let members = subject.members(collection);
            members.iter().any(|member| match body {
                Some(body) => holds(body, subject, Some((variable, &**member))),
                None => true,
            })
        }
    }
}

fn look_up<'a>(path: &str, subject: &'a dyn Subject, bound: Bound<'a>) -> Value<'a> {
    if let Some((variable, member)) = bound
        && let Some(rest) = path.strip_prefix(variable)
    {
        if rest.is_empty() {
            return member.value("");
        }
        if let Some(inner) = rest.strip_prefix('/') {
            return member.value(inner);
        }
    }
    subject.value(path)
}

fn compare(left: &Value<'_>, operator: Operator, right: &Literal, exact: bool) -> bool {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::Text(left), Literal::Text(right)) if exact => Some(left.as_ref().cmp(right)),
        (Value::Text(left), Literal::Text(right)) => {
            Some(left.to_lowercase().cmp(&right.to_lowercase()))
        }
        (Value::Bool(left), Literal::Bool(right)) => Some(left.cmp(right)),
        (Value::Time(left), Literal::Time(right)) => Some(left.cmp(right)),
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        _ => None,
    };
    match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
    }
}

fn call(function: Function, text: &str, value: &str) -> bool {
    let (text, value) = (text.to_lowercase(), value.to_lowercase());
    match function {
        Function::StartsWith => text.starts_with(&value),
        Function::EndsWith => text.ends_with(&value),
        Function::Contains => text.contains(&value),
    }
}

/// Recursive descent, one method a precedence level.
struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn syntax(&self) -> GraphError {
        GraphError::invalid_filter(format!("Syntax error: invalid filter clause '{}'.", self.text))
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(name)) if name == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), GraphError> {
        if self.take().as_ref() == Some(wanted) { Ok(()) } else { Err(self.syntax()) }
    }

    fn name(&mut self) -> Result<String, GraphError> {
        match self.take() {
            Some(Token::Name(name)) => Ok(name),
            _ => Err(self.syntax()),
        }
    }

    fn or(&mut self) -> Result<Expression, GraphError> {
        let mut left = self.and()?;
        while self.keyword("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, GraphError> {
        let mut left = self.unary()?;
        while self.keyword("and") {
            left = Expression::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, GraphError> {
        if self.keyword("not") {
            return Ok(Expression::Not(Box::new(self.unary()?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.next += 1;
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expression, GraphError> {
        let path = self.name()?;
        if self.peek() == Some(&Token::Open) {
            self.next += 1;
            return match path.rsplit_once('/') {
                Some((collection, any)) if any.eq_ignore_ascii_case("any") => {
                    self.lambda(collection.to_owned())
                }
                _ => self.call(&path),
            };
        }
        let operator = match self.peek() {
            Some(Token::Name(name)) => match name.as_str() {
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "gt" => Operator::Greater,
                "ge" => Operator::GreaterOrEqual,
                "lt" => Operator::Less,
                "le" => Operator::LessOrEqual,
                _ => return Ok(Expression::Is(path)),
            },
            _ => return Ok(Expression::Is(path)),
        };
        self.next += 1;
        let value = self.literal()?;
        Ok(Expression::Compare { path, operator, value, exact: false })
    }

    fn lambda(&mut self, collection: String) -> Result<Expression, GraphError> {
        if self.peek() == Some(&Token::Close) {
            self.next += 1;
            return Ok(Expression::Any { collection, variable: String::new(), body: None });
        }
        let variable = self.name()?;
        self.expect(&Token::Colon)?;
        let body = Some(Box::new(self.or()?));
        self.expect(&Token::Close)?;
        Ok(Expression::Any { collection, variable, body })
    }

    fn call(&mut self, function: &str) -> Result<Expression, GraphError> {
        let function = match function.to_ascii_lowercase().as_str() {
            "startswith" => Function::StartsWith,
            "endswith" => Function::EndsWith,
            "contains" => Function::Contains,
            _ => {
                return Err(GraphError::invalid_filter(format!(
                    "An unknown function with name '{function}' was found."
                )));
            }
        };
        let path = self.name()?;
        self.expect(&Token::Comma)?;
        let Literal::Text(value) = self.literal()? else { return Err(self.syntax()) };
        self.expect(&Token::Close)?;
        // `contains(a,'b') eq true` is the same as `contains(a,'b')`
        if self.keyword("eq") && !self.keyword("true") {
            return Err(self.syntax());
        }
        Ok(Expression::Call { function, path, value })
    }

    fn literal(&mut self) -> Result<Literal, GraphError> {
        Ok(match self.take() {
            Some(Token::Text(text)) => Literal::Text(text),
            Some(Token::Number(number)) => Literal::Number(number),
            Some(Token::Time(time)) => Literal::Time(time),
            Some(Token::Name(name)) => match name.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                _ => return Err(self.syntax()),
            },
            _ => return Err(self.syntax()),
        })
    }
}

#[cfg(test)]
mod tests;
