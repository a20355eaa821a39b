"""Everything that reads or writes weights. Loading executes nothing from a file."""
