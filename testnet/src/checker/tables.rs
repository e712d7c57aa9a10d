//! Tables: where nodes lie about the node table, the honest still know each other, and nobody whose id cost no work.

use super::Verdict;
use crate::scenario::Story;

pub(super) fn judge(story: &Story) -> Option<Verdict> {
    let tables = story.tables?;
    let made_up = tables.made_up;
    // Tables that do not say who is not believed lost say of nobody that he is.
    let forsaken = tables
        .believed
        .map_or_else(|| "those believed lost not seen".to_owned(), |_| format!("{} believed lost", tables.forsaken));
    let believed = tables.believed.map(|some| format!(", {some} of them not believed lost")).unwrap_or_default();
    Some(Verdict {
        oracle: "tables",
        promise: "honest nodes know each other, and no unworked id".to_owned(),
        seen: format!(
            "{} honest nodes missing ({} of them to newcomers), {forsaken}, {} ids without work; made up: {made_up} in {} tables of \
             nodes{believed}, {} in {} of newcomers",
            tables.missing, tables.untold, tables.unknown, tables.tables, tables.told, tables.newcomers
        ),
        // Who has nothing to show has not shown that nothing is missing.
        kept: (tables.tables > 0 && tables.newcomers > 0)
            .then_some(tables.missing + tables.forsaken + tables.unknown == 0),
    })
}
