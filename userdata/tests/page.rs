//! The page of the documentation that is made from the tables.

#[test]
fn the_page_of_the_documentation_is_the_one_the_tables_make() {
    let page = include_str!("../../docs/user-data.md");
    assert!(
        page == userdata::reference_markdown(),
        "docs/user-data.md is out of date: cargo run -p userdata --example reference > docs/user-data.md"
    );
}
