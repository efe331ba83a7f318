"""What protocols share: the client, admission and batching, the session table, snapshot transfer.

A part is a `Node` to inherit from, with fields, handlers and messages of its own, and a few methods
that the protocol overrides. A role is put together from the parts that it needs:

    class Replica(Snapshots["Raft"], Serving["Raft"]): ...
"""
