//! Blocks of lines, one above the other, and what has to go when there is no room.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

/// Lines that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The lines, already as narrow as they must be.
    pub(crate) lines: Vec<Line<'static>>,
    /// Blocks of a lower rank go first.
    pub(crate) rank: u8,
}

impl Block {
    pub(crate) fn new(rank: u8, lines: Vec<Line<'static>>) -> Self {
        Self { lines, rank }
    }
}

/// Puts blocks into `height` rows: whole blocks, the highest ranks first, then blank rows between them where there is
/// room, from the top. When even the highest block is too tall, its head is kept.
pub(crate) fn stack(blocks: Vec<Block>, height: u16) -> Vec<Line<'static>> {
    let height = usize::from(height);
    let mut blocks: Vec<Block> = blocks
        .into_iter()
        .filter(|block| !block.lines.is_empty())
        .collect();
    let rows = |blocks: &[Block]| blocks.iter().map(|block| block.lines.len()).sum::<usize>();
    while rows(&blocks) > height && blocks.len() > 1 {
        let Some(lowest) = blocks.iter().map(|block| block.rank).min() else {
            break;
        };
        let Some(at) = blocks.iter().rposition(|block| block.rank == lowest) else {
            break;
        };
        blocks.remove(at);
    }
    let mut spare = height.saturating_sub(rows(&blocks));
    let mut out = Vec::with_capacity(height);
    for block in blocks {
        if !out.is_empty() && spare > 0 {
            spare -= 1;
            out.push(Line::default());
        }
        out.extend(block.lines);
    }
    out.truncate(height);
    out
}

/// Writes lines into an area from its top; what is too long is cut at its right edge.
pub(crate) fn write(lines: &[Line<'_>], area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    for (row, line) in area.rows().zip(lines) {
        buffer.set_line(row.x, row.y, line, row.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rank: u8, name: &'static str, lines: usize) -> Block {
        Block::new(rank, vec![Line::from(name); lines])
    }

    #[test]
    fn the_lowest_ranks_go_first_and_gaps_come_back_from_the_top() {
        let blocks = || {
            vec![
                block(9, "a", 1),
                block(2, "b", 3),
                block(5, "c", 2),
                block(1, "d", 1),
            ]
        };
        let cases = [
            (20, "a,,b,b,b,,c,c,,d"),
            (9, "a,,b,b,b,,c,c,d"),
            (8, "a,,b,b,b,c,c,d"),
            (7, "a,b,b,b,c,c,d"),
            (6, "a,b,b,b,c,c"),
            (5, "a,,c,c"),
            (3, "a,c,c"),
            (2, "a"),
            (0, ""),
        ];
        for (height, wanted) in cases {
            let lines: Vec<String> = stack(blocks(), height)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(lines.join(","), wanted, "{height}");
        }
    }

    #[test]
    fn of_a_single_block_that_is_too_tall_the_head_is_kept() {
        assert_eq!(stack(vec![block(1, "a", 4)], 3).len(), 3);
    }
}
