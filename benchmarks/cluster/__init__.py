"""Ours and the peers as real clusters on this machine, under one load. See cluster_speed.py."""
