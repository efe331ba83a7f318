"""The real cluster: the node code that the simulator runs, on real disks and sockets."""
