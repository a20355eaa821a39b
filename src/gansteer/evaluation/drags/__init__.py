"""The evaluations of dragging that its papers describe: what is dragged, what is measured, by which rows."""
