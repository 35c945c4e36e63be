//! Whether a parsed filter fits the type it is over: properties exist, literals have their type.

use super::filter::{Expression, Literal};
use crate::error::GraphError;
use crate::message::extended::extended_id;
use crate::metadata;

/// The types that paths start from.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    type_name: &'a str,
    /// A lambda's variable and the type of what it stands for
    bound: Option<(&'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    pub fn of(type_name: &'a str) -> Self {
        Self { type_name, bound: None }
    }

    /// The declared type at a path.
    fn find(&self, path: &str) -> Result<&'a str, GraphError> {
        let mut segments = path.split('/');
        let mut here = self.type_name;
        if let Some((variable, member)) = self.bound
            && path.split('/').next() == Some(variable)
        {
            segments.next();
            here = member;
        }
        for segment in segments {
            here = metadata::property_type(here, segment)
                .ok_or_else(|| GraphError::unknown_property_in_query(segment, here))?;
        }
        Ok(here)
    }
}

/// Checks every comparison, and makes ids of extended properties canonical.
pub fn check(expression: Expression, scope: &Scope<'_>) -> Result<Expression, GraphError> {
    let both = |left: Expression, right: Expression| -> Result<_, GraphError> {
        Ok((Box::new(check(left, scope)?), Box::new(check(right, scope)?)))
    };
    Ok(match expression {
        Expression::And(left, right) => {
            let (left, right) = both(*left, *right)?;
            Expression::And(left, right)
        }
        Expression::Or(left, right) => {
            let (left, right) = both(*left, *right)?;
            Expression::Or(left, right)
        }
        Expression::Not(inner) => Expression::Not(Box::new(check(*inner, scope)?)),
        Expression::Is(path) => {
            compatible(scope.find(&path)?, &Literal::Bool(true))?;
            Expression::Is(path)
        }
        Expression::Call { function, path, value } => {
            compatible(scope.find(&path)?, &Literal::Text(String::new()))?;
            Expression::Call { function, path, value }
        }
        Expression::Compare { path, operator, value, .. } => {
            compatible(scope.find(&path)?, &value)?;
            let exact = is_extended_id(&path, scope);
            let value = match value {
                Literal::Text(id) if exact => Literal::Text(extended_id(&id)?),
                other => other,
            };
            Expression::Compare { path, operator, value, exact }
        }
        Expression::Any { collection, variable, body } => {
            let declared = scope.find(&collection)?;
            let member = declared
                .strip_prefix("Collection(")
                .and_then(|inner| inner.strip_suffix(')'))
                .ok_or_else(|| {
                    GraphError::invalid_filter(format!("'{collection}' is not a collection."))
                })?;
            let inner = Scope { type_name: scope.type_name, bound: Some((&variable, member)) };
            let body = body.map(|body| check(*body, &inner).map(Box::new)).transpose()?;
            Expression::Any { collection, variable, body }
        }
    })
}

/// Whether the path is the id of an extended property.
fn is_extended_id(path: &str, scope: &Scope<'_>) -> bool {
    let (owner, name) = match (scope.bound, path.split_once('/')) {
        (Some((variable, member)), Some((first, rest))) if first == variable => (member, rest),
        _ => (scope.type_name, path),
    };
    name == "id" && owner.ends_with("ValueLegacyExtendedProperty")
}

fn compatible(declared: &str, value: &Literal) -> Result<(), GraphError> {
    let fits = match value {
        Literal::Null => !declared.starts_with("Collection("),
        Literal::Text(_) => {
            declared == "Edm.String" || declared == "Edm.Guid" || metadata::is_enum(declared)
        }
        Literal::Bool(_) => declared == "Edm.Boolean",
        Literal::Number(_) => {
            declared.starts_with("Edm.Int") || declared == "Edm.Double" || declared == "Edm.Decimal"
        }
        Literal::Time(_) => declared == "Edm.DateTimeOffset",
    };
    if fits {
        return Ok(());
    }
    let found = match value {
        Literal::Text(_) => "Edm.String",
        Literal::Bool(_) => "Edm.Boolean",
        Literal::Number(_) => "Edm.Double",
        Literal::Time(_) => "Edm.DateTimeOffset",
        Literal::Null => "null",
    };
    Err(GraphError::invalid_filter(format!(
        "A binary operator with incompatible types was detected. Found operand types '{declared}' \
         and '{found}'."
    )))
}
