"""Many tasks, done here, by processes of this machine, or by workers of a cluster: the same results in each case."""
