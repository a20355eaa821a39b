"""Everything that reads or writes weights. Foreign checkpoints become ours here, and nothing in them is ever run."""
