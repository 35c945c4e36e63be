//! Ids of extended properties: the MAPI names under which clients keep values of their own.
//!
//! Values are plain text to the sandbox; their declared type is checked for its name only.

use crate::error::GraphError;

const EXTENDED_TYPES: [&str; 12] = [
    "Binary",
    "Boolean",
    "CLSID",
    "Currency",
    "Double",
    "Float",
    "Integer",
    "Long",
    "Short",
    "String",
    "StringArray",
    "SystemTime",
];

/// The canonical form of an extended property's id, by which two spellings compare: the type and
/// the GUID without case, the name with it
/// (learn.microsoft.com/graph/api/resources/extended-properties-overview).
pub fn extended_id(id: &str) -> Result<String, GraphError> {
    let refused = || GraphError::invalid_extended_property(id);
    let mut parts = id.splitn(3, ' ');
    let kind = parts.next().unwrap_or_default();
    let kind =
        EXTENDED_TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind)).ok_or_else(refused)?;
    let set = parts.next().ok_or_else(refused)?;
    let Some(rest) = parts.next() else {
        let tag = hex(set).ok_or_else(refused)?;
        return Ok(format!("{kind} 0x{tag:x}"));
    };
    let braced = set.strip_prefix('{').and_then(|set| set.strip_suffix('}')).unwrap_or(set);
    let guid = uuid::Uuid::try_parse(braced).map_err(|_| refused())?;
    let (by, name) = rest.split_once(' ').ok_or_else(refused)?;
    match by.to_ascii_lowercase().as_str() {
        "name" if !name.is_empty() => Ok(format!("{kind} {{{guid}}} Name {name}")),
        "id" => {
            let number = hex(name).ok_or_else(refused)?;
            Ok(format!("{kind} {{{guid}}} Id 0x{number:x}"))
        }
        _ => Err(refused()),
    }
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_ids_compare_by_the_documented_rules() {
        let id = |text: &str| extended_id(text).unwrap();
        let guid = "66F5A359-4659-4830-9070-00047EC6AC6E";
        let lower = guid.to_ascii_lowercase();
        assert_eq!(
            id(&format!("String {{{guid}}} Name Key")),
            id(&format!("string {{{lower}}} name Key"))
        );
        assert_ne!(
            id(&format!("String {{{guid}}} Name Key")),
            id(&format!("String {{{guid}}} Name key"))
        );
        assert_eq!(id("String 0x1035"), id("STRING 0x1035"));
        assert_eq!(
            id(&format!("Integer {{{guid}}} Id 0x8012")),
            format!("Integer {{{lower}}} Id 0x8012")
        );
        for bad in ["", "String", "Text 0x1", "String {x} Name a", "String 1035", "String {} Name"]
        {
            assert_eq!(extended_id(bad).unwrap_err().code, "ErrorInvalidExtendedProperty", "{bad}");
        }
    }
}
