"""What need not be explored: dead messages, dominated states, sleep sets, symmetry."""
